package ext

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// checkName refuses what no directory can hold.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
		return &fs.PathError{Op: "edit", Path: name, Err: filesys.ErrName}
	}
	return nil
}

// direntKind is the file type that an entry stores.
func direntKind(m filesys.Mode) uint8 {
	return uint8(max(0, slices.Index(direntTypes[:], m.Type())))
}

// target opens a directory for a new name: fs.ErrExist when it is taken.
func (e *editor) target(dir filesys.Node, name string) (*directory, error) {
	d, p, err := e.entry(dir, name)
	if err == nil && p.found() {
		err = &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return d, err
}

// entry opens a directory for a change of a name, there or not.
func (e *editor) entry(dir filesys.Node, name string) (*directory, place, error) {
	if err := checkName(name); err != nil {
		return nil, place{}, err
	}
	if _, err := e.plainNode(dir); err != nil {
		return nil, place{}, err
	}
	d, err := e.directory(dir)
	if err != nil {
		return nil, place{}, err
	}
	if err := d.editable(); err != nil {
		return nil, place{}, err
	}
	p, err := d.find(name)
	return d, p, err
}

// make adds an object to a directory; fill gives it content.
func (e *editor) make(dir filesys.Node, name string, a filesys.NewAttr, fill func(d *directory, in *inode) error) (n filesys.Node, err error) {
	err = e.do(func() error {
		d, err := e.target(dir, name)
		if err != nil {
			return err
		}
		in, err := e.newInode(d.in, a)
		if err != nil {
			return err
		}
		in.setLinks(1)
		if err := fill(d, in); err != nil {
			return err
		}
		if err := e.putInode(in); err != nil {
			return err
		}
		n = filesys.Node(in.num)
		return e.addName(d, name, in)
	})
	return n, err
}

// addName inserts a name and stages the directory.
func (e *editor) addName(d *directory, name string, in *inode) error {
	if err := d.insert(leafEntry{in.num, direntKind(in.mode()), name}); err != nil {
		return err
	}
	return e.modified(d.in)
}

func withType(a filesys.NewAttr, t filesys.Mode) filesys.NewAttr {
	a.Mode = a.Mode.Perm() | t
	return a
}

// Create makes an empty file.
func (e *editor) Create(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return e.make(dir, name, withType(a, filesys.Regular), func(_ *directory, in *inode) error {
		_, err := e.setMap(in, nil, nil)
		return err
	})
}

// Mkdir makes an empty directory.
func (e *editor) Mkdir(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return e.make(dir, name, withType(a, filesys.Dir), func(d *directory, in *inode) error {
		in.setLinks(2)
		if err := e.addLink(d.in); err != nil {
			return err
		}
		return e.initDir(in, d.in.num, nil)
	})
}

// Symlink makes a symbolic link: in the inode, or in a block of its own.
func (e *editor) Symlink(dir filesys.Node, name, target string, a filesys.NewAttr) (filesys.Node, error) {
	switch {
	case target == "" || strings.Contains(target, "\x00"):
		return 0, filesys.ErrInvalid
	case len(target) > maxSymlink || len(target) >= int(e.v.blockSize):
		return 0, &fs.PathError{Op: "symlink", Path: target, Err: filesys.ErrName}
	}
	return e.make(dir, name, withType(a, filesys.Symlink), func(_ *directory, in *inode) error {
		in.setSize(int64(len(target)))
		if len(target) < inodeBlockLen {
			in.setBlock([]byte(target))
			return nil
		}
		nr, err := e.allocBlock(e.goal(in))
		if err != nil {
			return err
		}
		block := make([]byte, e.v.blockSize)
		copy(block, target)
		e.stage.Put(nr, block)
		if _, err := e.setMap(in, []run{{phys: nr, count: 1}}, nil); err != nil {
			return err
		}
		return in.addBlocks(e.v, 1)
	})
}

// Mknod makes a device, fifo or socket. Devices have 12 bits of major and 20
// of minor number.
func (e *editor) Mknod(dir filesys.Node, name string, a filesys.NewAttr, major, minor uint32) (filesys.Node, error) {
	m := a.Mode.Type()
	if m != filesys.Fifo && m != filesys.Socket && !a.Mode.IsDevice() || major >= 1<<12 || minor >= 1<<20 {
		return 0, filesys.ErrInvalid
	}
	return e.make(dir, name, withType(a, m), func(_ *directory, in *inode) error {
		if a.Mode.IsDevice() {
			in.setBlock(encodeDevice(major, minor))
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
		d, err := e.target(dir, name)
		if err != nil {
			return err
		}
		if err := e.addLink(in); err != nil {
			return err
		}
		if err := e.changed(in); err != nil {
			return err
		}
		return e.addName(d, name, in)
	})
}

// Remove takes a name away, and with the last one the object.
func (e *editor) Remove(dir filesys.Node, name string) error {
	return e.do(func() error {
		d, p, err := e.entry(dir, name)
		if err != nil {
			return err
		}
		if !p.found() {
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		}
		in, err := e.plainNode(filesys.Node(p.slot.ino))
		if err != nil {
			return err
		}
		if err := d.remove(p); err != nil {
			return err
		}
		if err := e.unlink(d, in); err != nil {
			return err
		}
		return e.modified(d.in)
	})
}

// unlink counts one name less. A directory must be empty, and goes at once.
func (e *editor) unlink(d *directory, in *inode) error {
	if in.mode().IsDir() {
		sub, err := e.directory(filesys.Node(in.num))
		if err != nil {
			return err
		}
		empty, err := sub.empty()
		if err != nil {
			return err
		}
		if !empty {
			return filesys.ErrNotEmpty
		}
		e.dropLink(d.in)
		return e.release(in)
	}
	if in.Links > 1 {
		in.setLinks(in.Links - 1)
		return e.changed(in)
	}
	return e.release(in)
}
