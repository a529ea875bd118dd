package xfs

import (
	"errors"
	"io/fs"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// Rename moves a name, and replaces what the new one stood for, as rename(2).
func (e *editor) Rename(oldDir filesys.Node, oldName string, newDir filesys.Node, newName string) error {
	return e.do(func() error { return e.rename(oldDir, oldName, newDir, newName) })
}

// side is one of the two directories of a rename; both can be the same.
type side struct {
	d  *directory
	in *inode
}

func (e *editor) rename(oldDir filesys.Node, oldName string, newDir filesys.Node, newName string) error {
	d, in, err := e.entry(oldDir, oldName)
	if err != nil {
		return err
	}
	from := &side{d, in}
	x, ok := d.find(oldName)
	if !ok {
		return &fs.PathError{Op: "rename", Path: oldName, Err: fs.ErrNotExist}
	}
	moved, err := e.plainNode(filesys.Node(x.ino))
	if err != nil {
		return err
	}
	if moved.mode().IsDir() {
		if err := e.notBelow(uint64(newDir), moved.num); err != nil {
			return err
		}
	}
	if d, in, err = e.entry(newDir, newName); err != nil {
		return err
	}
	to := &side{d, in}
	if oldDir == newDir {
		to = from
	}
	y, taken := to.d.find(newName)
	if taken && y.ino == moved.num {
		return nil
	}
	if err := e.moveName(from, to, dirName{newName, moved.num, direntKind(moved.mode())}, y.ino, moved); err != nil {
		return err
	}
	return e.finishRename(from, to, oldName, moved)
}

// moveName makes the new name stand for in; victim is what it stood for, or 0.
func (e *editor) moveName(from, to *side, x dirName, victim uint64, in *inode) error {
	if victim == 0 {
		return to.d.insert(e, x)
	}
	old, err := e.plainNode(filesys.Node(victim))
	if err == nil && old.mode().IsDir() && errors.Is(e.notBelow(from.in.num, old.num), filesys.ErrInvalid) {
		err = filesys.ErrNotEmpty // it holds what is moved
	}
	switch {
	case err != nil:
		return err
	case old.mode().IsDir() && !in.mode().IsDir():
		return filesys.ErrIsDir
	case !old.mode().IsDir() && in.mode().IsDir():
		return filesys.ErrNotDir
	}
	if err := to.d.retarget(e, x); err != nil {
		return err
	}
	return e.unlink(to.in, old)
}

// finishRename takes the old name away and puts right what a directory that
// moved changes in its parents.
func (e *editor) finishRename(from, to *side, oldName string, in *inode) error {
	if err := from.d.remove(e, oldName); err != nil {
		return err
	}
	if in.mode().IsDir() && from != to {
		moved, err := e.directory(in.num)
		if err != nil {
			return err
		}
		if err := moved.moveTo(e, to.in.num); err != nil {
			return err
		}
		if err := dropLink(from.in); err != nil {
			return err
		}
		if err := addLink(to.in); err != nil {
			return err
		}
	}
	if err := e.changed(in); err != nil {
		return err
	}
	if err := e.modified(from.in); err != nil || from == to {
		return err
	}
	return e.modified(to.in)
}

// notBelow refuses to move a directory below itself.
func (e *editor) notBelow(dir, moved uint64) error {
	for seen := map[uint64]bool{}; dir != e.v.super.RootIno; {
		if dir == moved {
			return filesys.ErrInvalid
		}
		if seen[dir] {
			return &fs.PathError{Op: "rename", Path: "..", Err: fs.ErrInvalid}
		}
		seen[dir] = true
		var err error
		if dir, err = e.parent(dir); err != nil {
			return err
		}
	}
	if dir == moved {
		return filesys.ErrInvalid
	}
	return nil
}

// parent is the directory that ".." names.
func (e *editor) parent(num uint64) (uint64, error) {
	if d := e.dirs[num]; d != nil {
		return d.parent, nil
	}
	in, err := e.v.dirNode(filesys.Node(num))
	if err != nil {
		return 0, err
	}
	if in.Format == formatLocal {
		if len(e.v.dataFork(in).raw) < 10 {
			return 0, in.at().Corrupt("no room for a directory")
		}
		return e.v.shortParent(in), nil
	}
	x, err := e.v.lookupHash(in, "..")
	if err == nil && x.ino == 0 {
		err = in.at().Corrupt(`it has no ".."`)
	}
	return x.ino, err
}
