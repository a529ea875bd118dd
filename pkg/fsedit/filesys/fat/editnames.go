package fat

import (
	"io/fs"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

// Create makes an empty file. It is read-only where its owner may not write.
func (e *editor) Create(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return e.make(dir, name, func(*folder) ([]byte, error) {
		return e.newSlot(readOnlyBit(attrArchive, a.Mode), 0, a.Mtime), nil
	})
}

// Mkdir makes an empty directory.
func (e *editor) Mkdir(dir filesys.Node, name string, a filesys.NewAttr) (filesys.Node, error) {
	return e.make(dir, name, func(f *folder) ([]byte, error) {
		up := f.place.start
		if f.node == rootNode {
			up = 0
		}
		dots := append(e.newSlot(attrDir, 0, a.Mtime), e.newSlot(attrDir, up, a.Mtime)...)
		copy(dots, dotName)
		copy(dots[slotSize:], dotDotName)
		runs, err := e.newCluster(dots)
		if err != nil {
			return nil, err
		}
		start := runs[0].first
		e.v.putStart(dots, start)
		stage.Set(e.stage, e.parents, start, up)
		return e.newSlot(attrDir, start, a.Mtime), e.stage.Patch(e.v.clusterOff(start), dots)
	})
}

// make adds an object to a directory; fill makes its slot.
func (e *editor) make(dir filesys.Node, name string, fill func(*folder) ([]byte, error)) (n filesys.Node, err error) {
	err = e.do(func() error {
		f, old, err := e.lookupFor(dir, name)
		if err != nil {
			return err
		}
		if _, err := checkName(name); err != nil {
			return err
		}
		if old != nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
		s, err := fill(f)
		if err != nil {
			return err
		}
		off, err := e.putEntry(f, name, s)
		if err != nil {
			return err
		}
		node, undo := e.v.ids.Load().add(off)
		e.stage.Later(undo)
		n = node
		return nil
	})
	return n, err
}

// Remove takes a file or an empty directory away.
func (e *editor) Remove(dir filesys.Node, name string) error {
	return e.do(func() error {
		f, en, err := e.lookupFor(dir, name)
		if err != nil {
			return err
		}
		if en == nil {
			return notExist("remove", name)
		}
		return e.unlink(f, en)
	})
}

// unlink removes an entry with all that it holds.
func (e *editor) unlink(f *folder, en *entry) error {
	if en.isDir() {
		p, err := e.v.slotDir(en.slot, en.off)
		if err != nil {
			return err
		}
		if err := e.isEmpty(p); err != nil {
			return err
		}
		stage.Delete(e.stage, e.parents, p.start)
		stage.Delete(e.stage, e.touched, p)
	}
	if err := first(e.dropEntry(f, en), e.release(e.v.start(en.slot))); err != nil {
		return err
	}
	ids := e.v.ids.Load()
	n := ids.node(en.off)
	stage.Delete(e.stage, e.pending, n)
	e.stage.Later(ids.set(n, gone))
	return nil
}

// Rename moves a name, and replaces what the new one stood for, as rename(2).
// Another spelling of the same name is a rename too.
func (e *editor) Rename(oldDir filesys.Node, oldName string, newDir filesys.Node, newName string) error {
	return e.do(func() error {
		from, en, err := e.lookupFor(oldDir, oldName)
		if err != nil {
			return err
		}
		if en == nil {
			return notExist("rename", oldName)
		}
		to, victim, err := e.lookupFor(newDir, newName)
		if err != nil {
			return err
		}
		if _, err := checkName(newName); err != nil {
			return err
		}
		if oldDir == newDir {
			to = from
		}
		if err := e.mayMove(en, to); err != nil {
			return err
		}
		if victim != nil && victim.off == en.off {
			if en.name() == newName {
				return nil
			}
			victim = nil
		}
		if victim != nil {
			if err := e.replace(from, to, victim, en.isDir()); err != nil {
				return err
			}
		}
		return e.move(from, en, to, newName)
	})
}

// mayMove refuses to move a directory below itself.
func (e *editor) mayMove(en *entry, to *folder) error {
	if !en.isDir() {
		return nil
	}
	if e.below(to.place, e.v.start(en.slot)) {
		return filesys.ErrInvalid
	}
	return nil
}

// below reports whether a directory is the one that begins with cluster top, or
// lies in it.
func (e *editor) below(p dirPlace, top uint32) bool {
	for dir, left := p.start, len(e.parents); left >= 0; left-- {
		if dir == top {
			return true
		}
		up, ok := e.parents[dir]
		if !ok {
			break
		}
		dir = up
	}
	return false
}

// replace removes what a rename from a directory covers.
func (e *editor) replace(from, f *folder, victim *entry, byDir bool) error {
	switch {
	case victim.isDir() && e.below(from.place, e.v.start(victim.slot)):
		return filesys.ErrNotEmpty // it holds what is moved
	case victim.isDir() && !byDir:
		return filesys.ErrIsDir
	case !victim.isDir() && byDir:
		return filesys.ErrNotDir
	}
	return e.unlink(f, victim)
}

// move takes the slot of an entry to its new name, and its ".." along.
func (e *editor) move(from *folder, en *entry, to *folder, name string) error {
	s := append([]byte(nil), from.slot(en.last)...)
	if err := e.dropEntry(from, en); err != nil {
		return err
	}
	off, err := e.putEntry(to, name, s)
	if err != nil {
		return err
	}
	ids := e.v.ids.Load()
	e.stage.Later(ids.set(ids.node(en.off), off))
	if !en.isDir() || from == to {
		return nil
	}
	up := to.place.start
	if to.node == rootNode {
		up = 0
	}
	start := e.v.start(en.slot)
	stage.Set(e.stage, e.parents, start, up)
	return e.setParent(start, up)
}

// setParent makes ".." of a directory name another one.
func (e *editor) setParent(start, up uint32) error {
	d, err := e.v.readDir(dirPlace{start})
	if err != nil {
		return err
	}
	for i := range min(2, d.end()) {
		if string(d.slot(i)[:11]) == dotDotName {
			return e.setStart(d.off(i), up)
		}
	}
	return nil // one that Windows 95 made, or nobody
}
