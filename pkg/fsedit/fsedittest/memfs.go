package fsedittest

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// MemFS is a read-only filesystem in memory.
type MemFS struct {
	nodes []memNode // by node less one; the first is the root
}

type memNode struct {
	attr    filesys.Attr
	content string // of a file, or the target of a link
	names   []filesys.Dirent
}

var _ filesys.FS = (*MemFS)(nil)

// NewMemFS makes a filesystem of a map from path to content, as fixtures are
// best read: a path that ends in "/" is an empty directory, content that begins
// with "-> " a symbolic link. Directories on the way need not be named.
func NewMemFS(files map[string]string) *MemFS {
	m := &MemFS{}
	m.add(filesys.Dir|0o755, "")
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		clean := strings.Trim(name, "/")
		if strings.HasSuffix(name, "/") {
			m.dir(clean)
			continue
		}
		content := files[name]
		mode := filesys.Regular | 0o644
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			mode, content = filesys.Symlink|0o777, target
		}
		dir := m.dir(path.Dir(clean))
		m.link(dir, path.Base(clean), m.add(mode, content))
	}
	return m
}

func (m *MemFS) add(mode filesys.Mode, content string) filesys.Node {
	n := filesys.Node(len(m.nodes) + 1)
	m.nodes = append(m.nodes, memNode{content: content,
		attr: filesys.Attr{Node: n, Mode: mode, Nlink: 1, Size: int64(len(content))}})
	return n
}

func (m *MemFS) link(dir filesys.Node, name string, n filesys.Node) {
	d := &m.nodes[dir-1]
	d.names = append(d.names, filesys.Dirent{Name: name, Node: n, Type: m.nodes[n-1].attr.Mode.Type()})
}

// dir is the directory at a clean path, made when missing.
func (m *MemFS) dir(p string) filesys.Node {
	at := m.Root()
	for _, name := range strings.Split(p, "/") {
		if name == "" || name == "." {
			continue
		}
		next, err := m.Lookup(at, name)
		if err != nil {
			next = m.add(filesys.Dir|0o755, "")
			m.link(at, name, next)
		}
		at = next
	}
	return at
}

func (m *MemFS) node(n filesys.Node) (*memNode, error) {
	if n == 0 || int(n) > len(m.nodes) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "node %d does not exist", n)
	}
	return &m.nodes[n-1], nil
}

func (m *MemFS) Root() filesys.Node { return 1 }

func (m *MemFS) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	list, err := m.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, d := range list {
		if d.Name == name {
			return d.Node, nil
		}
	}
	return 0, fs.ErrNotExist
}

func (m *MemFS) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	n, err := m.node(dir)
	if err != nil {
		return nil, err
	}
	if !n.attr.Mode.IsDir() {
		return nil, filesys.ErrNotDir
	}
	return slices.Clone(n.names), nil
}

func (m *MemFS) Attr(n filesys.Node) (filesys.Attr, error) {
	node, err := m.node(n)
	if err != nil {
		return filesys.Attr{}, err
	}
	return node.attr, nil
}

func (m *MemFS) Open(n filesys.Node) (blockdev.Device, error) {
	node, err := m.node(n)
	switch {
	case err != nil:
		return nil, err
	case node.attr.Mode.IsDir():
		return nil, filesys.ErrIsDir
	case !node.attr.Mode.IsRegular():
		return nil, filesys.ErrNotFile
	}
	return blockdev.FromBytes([]byte(node.content)), nil
}

func (m *MemFS) Readlink(n filesys.Node) (string, error) {
	node, err := m.node(n)
	if err != nil {
		return "", err
	}
	if !node.attr.Mode.IsSymlink() {
		return "", filesys.ErrInvalid
	}
	return node.content, nil
}

func (m *MemFS) Xattrs(filesys.Node) (map[string][]byte, error) { return nil, nil }

// MemVolume is a volume that holds one MemFS. Fields may be changed before use.
type MemVolume struct {
	FS    *MemFS
	ID    filesys.Ident
	About filesys.Info
	Room  filesys.Space
	Free  []filesys.Range
}

var _ filesys.Volume = (*MemVolume)(nil)

func (v *MemVolume) Ident() filesys.Ident { return v.ID }
func (v *MemVolume) Info() filesys.Info   { return v.About }
func (v *MemVolume) Space() filesys.Space { return v.Room }

// Root is the filesystem; without one, as swap space has none, it fails.
func (v *MemVolume) Root(subvolume string) (filesys.FS, error) {
	if v.FS == nil || subvolume != "" {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "no tree %q", subvolume)
	}
	return v.FS, nil
}

func (v *MemVolume) Edit(filesys.EditOptions) (filesys.Editor, error) {
	return nil, ondisk.Because(ondisk.ErrReadOnly, "in memory")
}

func (v *MemVolume) FreeExtents(context.Context) ([]filesys.Range, error) { return v.Free, nil }
