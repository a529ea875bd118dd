package main

import (
	"context"
	"fmt"
	"path"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// object is a file or folder of a guest, whatever names it has.
type object struct {
	mount string
	node  filesys.Node
}

// objectAt is the identity of what has a path, which is not that of a mount.
func objectAt(tree *guest.Tree, p string, node filesys.Node) (object, error) {
	place, err := tree.Place(path.Dir(p))
	return object{place.Mount, node}, err
}

// walk knows the folders that a recursive command has entered. A folder has one
// place; a filesystem that shows it at a second one is damaged, and may have no
// end.
type walk struct {
	ctx  context.Context
	tree *guest.Tree
	seen map[object]string
}

func newWalk(ctx context.Context, tree *guest.Tree) walk {
	return walk{ctx, tree, map[object]string{}}
}

// enter is called with every folder, before what is in it.
func (w walk) enter(p string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	attr, err := w.tree.Stat(p)
	if err != nil {
		return err
	}
	place, err := w.tree.Place(p)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	id := object{place.Mount, attr.Node}
	if first, ok := w.seen[id]; ok && first != p {
		return ondisk.Because(ondisk.ErrCorrupt, "the folder %s is the folder %s too", p, first)
	}
	w.seen[id] = p
	return nil
}
