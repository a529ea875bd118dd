package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// editors are the transactions on the filesystems of one guest, each begun when
// the first change goes there.
type editors struct {
	tree *guest.Tree
	now  time.Time
	open map[filesys.Volume]filesys.Editor
}

func newEditors(tree *guest.Tree) editors {
	return editors{tree, time.Now(), map[filesys.Volume]filesys.Editor{}}
}

// placed is an object of the guest.
type placed struct {
	editor filesys.Editor
	node   filesys.Node
}

// of is the editor of the filesystem that a real path lies in.
func (e *editors) of(real string) (filesys.Editor, guest.Place, error) {
	place, err := e.tree.Place(real)
	if err != nil {
		return nil, place, err
	}
	ed := e.open[place.Volume]
	if ed == nil {
		if ed, err = place.Volume.Edit(filesys.EditOptions{Now: e.now}); err != nil {
			return nil, place, fmt.Errorf("filesystem on %s: %w", place.Mount, err)
		}
		e.open[place.Volume] = ed
	}
	return ed, place, nil
}

// commit carries the changes to the overlays.
func (e *editors) commit(ctx context.Context) error {
	for _, ed := range e.open {
		if err := ed.Commit(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *editors) abort() {
	for _, ed := range e.open {
		ed.Abort() // does nothing after Commit
	}
}

// existing is what has the name now; the zero Attr when nothing has.
func existing(ed filesys.Editor, dir filesys.Node, name string) (filesys.Attr, error) {
	node, err := ed.Lookup(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return filesys.Attr{}, nil
	}
	if err != nil {
		return filesys.Attr{}, err
	}
	return ed.Attr(node)
}

// clearName frees a name that a file or link may have.
func clearName(ed filesys.Editor, dir filesys.Node, name string) error {
	err := ed.Remove(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
