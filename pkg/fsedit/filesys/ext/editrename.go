package ext

import (
	"errors"
	"io/fs"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// Rename moves a name, and replaces what the new one stood for, as rename(2).
func (e *editor) Rename(oldDir filesys.Node, oldName string, newDir filesys.Node, newName string) error {
	return e.do(func() error { return e.rename(oldDir, oldName, newDir, newName) })
}

func (e *editor) rename(oldDir filesys.Node, oldName string, newDir filesys.Node, newName string) error {
	from, p, err := e.entry(oldDir, oldName)
	if err != nil {
		return err
	}
	if !p.found() {
		return &fs.PathError{Op: "rename", Path: oldName, Err: fs.ErrNotExist}
	}
	in, err := e.plainNode(filesys.Node(p.slot.ino))
	if err != nil {
		return err
	}
	if in.mode().IsDir() {
		if err := e.notBelow(uint32(newDir), in.num); err != nil {
			return err
		}
	}
	to, q, err := e.entry(newDir, newName)
	if err != nil {
		return err
	}
	if q.found() && q.slot.ino == in.num {
		return nil
	}
	if oldDir == newDir {
		to = from
	}
	if err := e.moveName(from, to, q, newName, in); err != nil {
		return err
	}
	return e.finishRename(from, to, oldName, in)
}

// moveName makes the new name stand for in.
func (e *editor) moveName(from, to *directory, q place, name string, in *inode) error {
	if !q.found() {
		return to.insert(leafEntry{in.num, direntKind(in.mode()), name})
	}
	victim, err := e.plainNode(filesys.Node(q.slot.ino))
	if err == nil && victim.mode().IsDir() && errors.Is(e.notBelow(from.in.num, victim.num), filesys.ErrInvalid) {
		err = filesys.ErrNotEmpty // it holds what is moved
	}
	switch {
	case err != nil:
		return err
	case victim.mode().IsDir() && !in.mode().IsDir():
		return filesys.ErrIsDir
	case !victim.mode().IsDir() && in.mode().IsDir():
		return filesys.ErrNotDir
	}
	to.retarget(q, in.num, direntKind(in.mode()))
	return e.unlink(to, victim)
}

// finishRename takes the old name away and puts right what a directory that
// moved changes in its parents.
func (e *editor) finishRename(from, to *directory, oldName string, in *inode) error {
	p, err := from.find(oldName) // the insertion may have moved it
	if err != nil {
		return err
	}
	if err := from.remove(p); err != nil {
		return err
	}
	if in.mode().IsDir() && from != to {
		moved, err := e.directory(filesys.Node(in.num))
		if err != nil {
			return err
		}
		moved.in = in
		if err := moved.moveTo(to.in.num); err != nil {
			return err
		}
		e.dropLink(from.in)
		if err := e.addLink(to.in); err != nil {
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

// moveTo makes ".." name another directory, wherever it is stored.
func (d *directory) moveTo(parent uint32) error {
	if d.in.has(flInlineData) {
		var p [4]byte
		le.PutUint32(p[:], parent)
		d.in.patchBlock(p[:])
		return nil
	}
	return d.setParent(parent)
}

// notBelow refuses to move a directory below itself.
func (e *editor) notBelow(dir, moved uint32) error {
	for seen := map[uint32]bool{}; dir != inoRoot; {
		if dir == moved {
			return filesys.ErrInvalid
		}
		d, err := e.directory(filesys.Node(dir))
		if err != nil {
			return err
		}
		if seen[dir] {
			return d.in.at().Corrupt("its parents form a loop")
		}
		seen[dir] = true
		if dir, err = d.parent(); err != nil {
			return err
		}
	}
	return nil
}
