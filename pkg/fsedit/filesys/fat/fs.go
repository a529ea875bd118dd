package fat

import (
	"io/fs"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tree is the FS of a volume; see identities for its nodes.
type tree struct{ v *volume }

var _ filesys.FS = (*tree)(nil)

func (t *tree) Root() filesys.Node { return rootNode }

// nodeSlot reads the slot of a node that is not the root.
func (v *volume) nodeSlot(n filesys.Node) (slot, int64, error) {
	off := v.ids.Load().place(n)
	if off == gone {
		return slot{}, 0, fs.ErrNotExist
	}
	inRoot := off >= v.rootOff && off < v.dataOff
	inData := off >= v.dataOff && off-v.dataOff < int64(v.clusters)<<v.clusterBits
	if !inRoot && !inData || off%slotSize != 0 {
		return slot{}, 0, filesys.ErrInvalid
	}
	raw, err := v.sectors(uint64(off>>v.sectorBits), 1)
	if err != nil {
		return slot{}, 0, err
	}
	p := raw[off&(v.sectorSize-1):][:slotSize]
	if p[0] == slotEnd || p[0] == slotDeleted || p[slAttr]&attrVolume != 0 {
		return slot{}, 0, fs.ErrNotExist
	}
	return decodeSlot(p), off, nil
}

// nodeDir is where the slots of a directory lie.
func (v *volume) nodeDir(n filesys.Node) (dirPlace, error) {
	if n == rootNode {
		return v.rootDir(), nil
	}
	s, off, err := v.nodeSlot(n)
	if err != nil {
		return dirPlace{}, err
	}
	return v.slotDir(s, off)
}

func (v *volume) slotDir(s slot, off int64) (dirPlace, error) {
	if s.Attr&attrDir == 0 {
		return dirPlace{}, filesys.ErrNotDir
	}
	start := v.start(s)
	if !v.inVolume(start) || start == v.rootCluster {
		return dirPlace{}, slotAt(off).Corrupt("a directory begins with cluster %d", start)
	}
	return dirPlace{start}, nil
}

func slotAt(off int64) ondisk.Place { return ondisk.At(layer, "directory entry", off) }

func (t *tree) openDir(n filesys.Node) (*directory, error) {
	p, err := t.v.nodeDir(n)
	if err != nil {
		return nil, err
	}
	return t.v.readDir(p)
}

func (t *tree) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	d, err := t.openDir(dir)
	if err != nil {
		return 0, err
	}
	e := d.find(name)
	if e == nil {
		return 0, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
	}
	return t.v.ids.Load().node(e.off), nil
}

func (t *tree) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	d, err := t.openDir(dir)
	if err != nil {
		return nil, err
	}
	out := []filesys.Dirent{}
	ids := t.v.ids.Load()
	for e := range d.entries() {
		if len(out) >= t.v.limits.Entries {
			return nil, t.v.dirAt(d.off(0)).TooBig("more than %d entries", t.v.limits.Entries)
		}
		kind := filesys.Regular
		if e.isDir() {
			kind = filesys.Dir
		}
		out = append(out, filesys.Dirent{Name: e.name(), Node: ids.node(e.off), Type: kind})
	}
	return out, nil
}

// Attr tells what a mount by root with a umask of 022 shows: all is executable,
// and the mark "read-only" takes writing away from files.
func (t *tree) Attr(n filesys.Node) (filesys.Attr, error) {
	a := filesys.Attr{Node: n, Mode: filesys.Dir | 0o755, Nlink: 1}
	if n == rootNode {
		a.Atime = time.Unix(0, 0).UTC()
		a.Mtime, a.Ctime = a.Atime, a.Atime
		return t.dirAttr(a, t.v.rootDir())
	}
	s, off, err := t.v.nodeSlot(n)
	if err != nil {
		return filesys.Attr{}, err
	}
	a.Mtime = readTime(s.MDate, s.MTime, 0)
	a.Ctime = a.Mtime
	a.Atime = readTime(s.ADate, 0, 0)
	if s.CDate != 0 {
		a.Btime = readTime(s.CDate, s.CTime, s.Tenths)
	}
	if s.Attr&attrDir != 0 {
		p, err := t.v.slotDir(s, off)
		if err != nil {
			return filesys.Attr{}, err
		}
		return t.dirAttr(a, p)
	}
	a.Mode = filesys.Regular | 0o755
	if s.Attr&attrReadOnly != 0 {
		a.Mode = filesys.Regular | 0o555
	}
	a.Size = int64(s.Size)
	a.Blocks = ondisk.AlignUp(a.Size, t.v.clusterSize) / 512
	return a, nil
}

// dirAttr fills in what the content of a directory tells. As in Linux, only
// subdirectories count as links.
func (t *tree) dirAttr(a filesys.Attr, p dirPlace) (filesys.Attr, error) {
	d, err := t.v.loadDir(p, true)
	if err != nil {
		return filesys.Attr{}, err
	}
	a.Nlink = 2
	for i := range d.end() {
		if p := d.slot(i); p[0] != slotDeleted && p[slAttr]&(attrDir|attrVolume) == attrDir && !isDots(p) {
			a.Nlink++
		}
	}
	a.Size = int64(len(d.raw))
	a.Blocks = a.Size / 512
	return a, nil
}

// Readlink fails: FAT has no links.
func (t *tree) Readlink(n filesys.Node) (string, error) {
	if _, err := t.Attr(n); err != nil {
		return "", err
	}
	return "", filesys.ErrInvalid
}

// Xattrs are none.
func (t *tree) Xattrs(n filesys.Node) (map[string][]byte, error) {
	if n == rootNode {
		return nil, nil
	}
	_, _, err := t.v.nodeSlot(n)
	return nil, err
}
