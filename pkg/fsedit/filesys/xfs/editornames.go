package xfs

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

const maxName = 255

// checkNewName refuses what no directory can hold.
func checkNewName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
		return &fs.PathError{Op: "edit", Path: name, Err: filesys.ErrName}
	}
	return nil
}

// direntKind is the file type that an entry stores.
func direntKind(m filesys.Mode) uint8 {
	return uint8(max(0, slices.Index(direntTypes[:], m.Type())))
}

// plainNode reads an inode that may be changed.
func (e *editor) plainNode(n filesys.Node) (*inode, error) {
	if _, err := e.v.node(n); err != nil {
		return nil, err
	}
	in, err := e.private(uint64(n))
	if err == nil {
		err = e.checkForks(in)
	}
	return in, err
}

// checkForks demands of an inode that its forks are of a kind that it can have.
func (e *editor) checkForks(in *inode) error {
	m, data := in.mode(), e.v.dataFork(in)
	mapped := in.Format == formatExtent || in.Format == formatBtree
	switch {
	case in.Format == formatLocal && (!m.IsDir() && !m.IsSymlink() || in.Size > uint64(len(data.raw))),
		in.Format == formatDev && (m.IsDir() || m.IsSymlink() || m.IsRegular()),
		in.Format != formatLocal && in.Format != formatDev && !mapped:
		return data.at().Corrupt("format %d of %d bytes", in.Format, in.Size)
	}
	if f, ok := e.v.attrFork(in); ok && (f.format < formatLocal || f.format > formatBtree) {
		return f.at().Corrupt("format %d", f.format)
	}
	return nil
}

// target opens a directory for a new name: fs.ErrExist when it is taken.
func (e *editor) target(dir filesys.Node, name string) (*directory, *inode, error) {
	d, in, err := e.entry(dir, name)
	if err != nil {
		return nil, nil, err
	}
	if _, ok := d.find(name); ok {
		return nil, nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return d, in, nil
}

// entry opens a directory for a change of a name, there or not.
func (e *editor) entry(dir filesys.Node, name string) (*directory, *inode, error) {
	if err := checkNewName(name); err != nil {
		return nil, nil, err
	}
	in, err := e.plainNode(dir)
	if err != nil {
		return nil, nil, err
	}
	d, err := e.directory(in.num)
	return d, in, err
}

// make adds an object to a directory; fill gives it content.
func (e *editor) make(dir filesys.Node, name string, a filesys.NewAttr, fill func(parent, in *inode) error) (n filesys.Node, err error) {
	err = e.do(func() error {
		d, parent, err := e.target(dir, name)
		if err != nil {
			return err
		}
		in, err := e.newInode(parent, a)
		if err != nil {
			return err
		}
		if err := fill(parent, in); err != nil {
			return err
		}
		if err := e.putInode(in); err != nil {
			return err
		}
		n = filesys.Node(in.num)
		if err := d.insert(e, dirName{name, in.num, direntKind(in.mode())}); err != nil {
			return err
		}
		return e.modified(parent)
	})
	if err != nil {
		n = 0
	}
	return n, err
}

func withType(a filesys.NewAttr, t filesys.Mode) filesys.NewAttr {
	a.Mode = a.Mode.Perm() | t
	return a
}

// Create makes an empty file.
func (e *editor) Create(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return e.make(dir, name, withType(a, filesys.Regular), func(_, _ *inode) error { return nil })
}

// Mkdir makes an empty directory.
func (e *editor) Mkdir(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return e.make(dir, name, withType(a, filesys.Dir), func(parent, in *inode) error {
		in.setLinks(2)
		if err := addLink(parent); err != nil {
			return err
		}
		p := e.v.buildShort(&directory{num: in.num, parent: parent.num})
		in.setSize(int64(len(p)))
		return e.setLocal(in, false, &holding{}, p)
	})
}

// Symlink makes a symbolic link: in the inode, or in blocks of its own.
func (e *editor) Symlink(dir filesys.Node, name, target string, a filesys.NewAttr) (filesys.Node, error) {
	switch {
	case target == "" || strings.Contains(target, "\x00"):
		return 0, filesys.ErrInvalid
	case len(target) >= maxSymlink:
		return 0, &fs.PathError{Op: "symlink", Path: target, Err: filesys.ErrName}
	}
	return e.make(dir, name, withType(a, filesys.Symlink), func(_, in *inode) error {
		in.setSize(int64(len(target)))
		if len(target) <= len(e.v.dataFork(in).raw) {
			return e.setLocal(in, false, &holding{}, []byte(target))
		}
		return e.putTarget(in, target)
	})
}

// Mknod makes a device, fifo or socket. Devices have 9 bits of major and 18 of
// minor number.
func (e *editor) Mknod(dir filesys.Node, name string, a filesys.NewAttr, major, minor uint32) (filesys.Node, error) {
	m := a.Mode.Type()
	if m != filesys.Fifo && m != filesys.Socket && !a.Mode.IsDevice() || major >= 1<<9 || minor >= 1<<18 {
		return 0, filesys.ErrInvalid
	}
	return e.make(dir, name, withType(a, m), func(_, in *inode) error {
		in.put8(inFormat, formatDev)
		if a.Mode.IsDevice() {
			be.PutUint32(in.raw[in.core:], major<<18|minor)
		}
		return nil
	})
}

// Link gives a file one more name.
func (e *editor) Link(n, dir filesys.Node, name string) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		if err != nil {
			return err
		}
		if in.mode().IsDir() {
			return filesys.ErrIsDir
		}
		d, parent, err := e.target(dir, name)
		if err != nil {
			return err
		}
		if err := addLink(in); err != nil {
			return err
		}
		if err := e.changed(in); err != nil {
			return err
		}
		if err := d.insert(e, dirName{name, in.num, direntKind(in.mode())}); err != nil {
			return err
		}
		return e.modified(parent)
	})
}

// addLink counts one more name of a file, or one more ".." of a directory.
func addLink(in *inode) error {
	if in.links() >= maxLinks || in.links() == 0 {
		return in.at().Wrap(filesys.ErrTooMany)
	}
	in.setLinks(in.links() + 1)
	return nil
}

// dropLink is the way back. A directory has at least two.
func dropLink(in *inode) error {
	if in.mode().IsDir() && in.links() <= 2 || in.links() == 0 {
		return in.at().In("links").Corrupt("%d", in.links())
	}
	in.setLinks(in.links() - 1)
	return nil
}

// Remove takes a name away, and with the last one the object.
func (e *editor) Remove(dir filesys.Node, name string) error {
	return e.do(func() error {
		d, parent, err := e.entry(dir, name)
		if err != nil {
			return err
		}
		x, ok := d.find(name)
		if !ok {
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		}
		in, err := e.plainNode(filesys.Node(x.ino))
		if err != nil {
			return err
		}
		if in.num == parent.num {
			return in.at().Corrupt("a directory holds itself")
		}
		if err := d.remove(e, name); err != nil {
			return err
		}
		if err := e.unlink(parent, in); err != nil {
			return err
		}
		return e.modified(parent)
	})
}

// unlink counts one name less. A directory must be empty, and goes at once.
func (e *editor) unlink(parent, in *inode) error {
	if in.mode().IsDir() {
		sub, err := e.directory(in.num)
		if err != nil {
			return err
		}
		if sub.live > 0 {
			return filesys.ErrNotEmpty
		}
		if in.num == e.v.super.RootIno {
			return in.at().Corrupt("the root directory has a name")
		}
		if err := dropLink(parent); err != nil {
			return err
		}
		if err := e.dropHeld(sub); err != nil {
			return err
		}
		stage.Delete(e.stage, e.dirs, in.num)
		return e.release(in)
	}
	if in.links() > 1 {
		if err := dropLink(in); err != nil {
			return err
		}
		return e.changed(in)
	}
	return e.release(in)
}

// release frees an inode that no name is left for, with all that it holds.
func (e *editor) release(in *inode) error {
	if in.has(diRealtime) {
		return in.at().Unsupported("its content is on the realtime device")
	}
	if f, ok := e.v.attrFork(in); ok {
		if err := e.releaseFork(in, f, true); err != nil {
			return err
		}
	}
	if err := e.releaseFork(in, e.v.dataFork(in), false); err != nil {
		return err
	}
	if err := e.space.freeInode(in.num); err != nil {
		return err
	}
	lsn := uint64(0)
	if e.v.v5() {
		lsn = in.LSN
	}
	gen := in.Gen + 1
	clear(in.raw)
	e.v.freshInode(in.raw, in.num, gen)
	in.raw[inFormat], in.raw[inAFormat] = formatExtent, formatExtent
	if e.v.v5() {
		be.PutUint64(in.raw[inLSN:], lsn)
	}
	in.decoded()
	e.setPending(in.num, pendingFile{})
	return e.putInode(in)
}

// releaseFork gives back all blocks of a fork.
func (e *editor) releaseFork(in *inode, f fork, attr bool) error {
	h, err := e.v.holding(f)
	if err != nil {
		return err
	}
	if err := e.releaseRuns(in, attr, h.runs); err != nil {
		return err
	}
	b := mapBuilder{e: e, in: in, attr: attr, pool: h.tree}
	return b.freePool()
}
