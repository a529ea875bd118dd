package edit

import (
	"context"
	"io/fs"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// memory is a filesystem of maps, whose transactions are copies.
type memory struct {
	filesys.Volume
	nodes    map[filesys.Node]*object
	space    filesys.Space
	failEdit error
	fail     error // of the next Commit
	commits  int
}

type object struct {
	mode    filesys.Mode
	content blockdev.Device
	target  string
	xattrs  map[string][]byte
	names   map[string]filesys.Node
}

func newMemory() *memory {
	return &memory{
		nodes: map[filesys.Node]*object{2: {mode: filesys.Dir | 0o755, names: map[string]filesys.Node{}}},
		space: filesys.Space{BlockSize: 1024, FreeBlocks: 100, Inodes: 10, FreeInodes: 5},
	}
}

func (m *memory) Space() filesys.Space { return m.space }

func (m *memory) Edit(filesys.EditOptions) (filesys.Editor, error) {
	if m.failEdit != nil {
		return nil, m.failEdit
	}
	tx := &transaction{volume: m, nodes: map[filesys.Node]*object{}}
	for n, o := range m.nodes {
		c := *o
		c.xattrs, c.names = maps.Clone(o.xattrs), maps.Clone(o.names)
		tx.nodes[n] = &c
	}
	return tx, nil
}

type transaction struct {
	filesys.Editor
	volume *memory
	nodes  map[filesys.Node]*object
}

func (tx *transaction) Root() filesys.Node { return 2 }

func (tx *transaction) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	if n, ok := tx.nodes[dir].names[name]; ok {
		return n, nil
	}
	return 0, fs.ErrNotExist
}

func (tx *transaction) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	var out []filesys.Dirent
	for _, name := range slices.Sorted(maps.Keys(tx.nodes[dir].names)) {
		n := tx.nodes[dir].names[name]
		out = append(out, filesys.Dirent{Name: name, Node: n, Type: tx.nodes[n].mode.Type()})
	}
	return out, nil
}

func (tx *transaction) Open(n filesys.Node) (blockdev.Device, error) { return tx.nodes[n].content, nil }

func (tx *transaction) Xattrs(n filesys.Node) (map[string][]byte, error) {
	return tx.nodes[n].xattrs, nil
}

func (tx *transaction) add(dir filesys.Node, name string, o *object) (filesys.Node, error) {
	if _, ok := tx.nodes[dir].names[name]; ok {
		return 0, fs.ErrExist
	}
	n := filesys.Node(len(tx.nodes) + 10)
	o.xattrs = map[string][]byte{}
	tx.nodes[n], tx.nodes[dir].names[name] = o, n
	return n, nil
}

func (tx *transaction) Create(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return tx.add(dir, name, &object{mode: filesys.Regular | a.Mode})
}

func (tx *transaction) Mkdir(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return tx.add(dir, name, &object{mode: filesys.Dir | a.Mode, names: map[string]filesys.Node{}})
}

func (tx *transaction) Symlink(dir filesys.Node, name, target string, a filesys.NewAttr) (filesys.Node, error) {
	return tx.add(dir, name, &object{mode: filesys.Symlink | 0o777, target: target})
}

func (tx *transaction) WriteFile(n filesys.Node, content blockdev.Device) error {
	tx.nodes[n].content = content
	return nil
}

func (tx *transaction) Remove(dir filesys.Node, name string) error {
	n, err := tx.Lookup(dir, name)
	if err != nil {
		return err
	}
	if len(tx.nodes[n].names) > 0 {
		return filesys.ErrNotEmpty
	}
	delete(tx.nodes[dir].names, name)
	return nil
}

func (tx *transaction) SetXattr(n filesys.Node, name string, value []byte) error {
	tx.nodes[n].xattrs[name] = value
	return nil
}

func (tx *transaction) RemoveXattr(n filesys.Node, name string) error {
	delete(tx.nodes[n].xattrs, name)
	return nil
}

func (tx *transaction) Commit(context.Context) error {
	if tx.volume.fail != nil {
		return tx.volume.fail
	}
	tx.volume.nodes = tx.nodes
	tx.volume.commits++
	return nil
}

func (tx *transaction) Abort() {}
