package guest

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxVisited is the length of the longest path that Visit goes: far beyond what
// a guest can name at once, and short enough to come to an end.
const maxVisited = 64 << 10

// Object is one name of a tree with what has it, a link and not where that leads.
type Object struct {
	Path  string     // without links
	Mount string     // where its filesystem is mounted
	FS    filesys.FS // nil for a directory that only leads to a mount point
	Attr  filesys.Attr
}

// Visit calls fn with the directory at p, where links may lead, and with all
// below it: a directory before what is in it, names in byte order, through mount
// points. fs.SkipDir from fn stays out of a directory. It finds names by node and
// not by path, so that a large tree costs no search.
func (t *Tree) Visit(ctx context.Context, p string, fn func(Object) error) error {
	s, err := t.resolve(p, true)
	if err == nil {
		err = t.mustBeDir(s)
	}
	if err != nil {
		return failed("visit", p, err)
	}
	v := visitor{ctx: ctx, tree: t, fn: fn, seen: map[visited]string{}}
	return v.visit(s)
}

type visitor struct {
	ctx  context.Context
	tree *Tree
	fn   func(Object) error
	seen map[visited]string // path by directory
}

type visited struct {
	mount *mount
	node  filesys.Node
}

func (v *visitor) visit(s spot) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	a, err := s.attr()
	if err != nil {
		return failed("stat", s.path, err)
	}
	o := Object{Path: s.path, Attr: a}
	if s.mount != nil {
		o.Mount, o.FS = s.mount.Path, s.mount.fs
	}
	if a.Mode.IsDir() {
		if err := v.enter(s); err != nil {
			return err
		}
	}
	err = v.fn(o)
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	if err != nil || !a.Mode.IsDir() {
		return err
	}
	return v.children(s)
}

// enter notes a directory. It has one place; a filesystem that shows it at a
// second one is damaged, and may have no end.
func (v *visitor) enter(s spot) error {
	if len(s.path) > maxVisited {
		return ondisk.Because(ondisk.ErrTooBig, "%.80s...: a path of more than %d bytes", s.path, maxVisited)
	}
	if s.mount == nil {
		return nil
	}
	id := visited{s.mount, s.node}
	if first, ok := v.seen[id]; ok {
		return ondisk.Because(ondisk.ErrCorrupt, "the folder %s is the folder %s too", s.path, first)
	}
	v.seen[id] = s.path
	return nil
}

func (v *visitor) children(s spot) error {
	var list []filesys.Dirent
	if s.mount != nil {
		var err error
		if list, err = s.mount.fs.ReadDir(s.node); err != nil {
			return failed("readdir", s.path, err)
		}
	}
	mounted := v.tree.mountedIn(s.path)
	for _, name := range mounted {
		if !slices.ContainsFunc(list, func(d filesys.Dirent) bool { return d.Name == name }) {
			list = append(list, filesys.Dirent{Name: name})
		}
	}
	slices.SortFunc(list, func(a, b filesys.Dirent) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range list {
		next := spot{path: join(s.path, d.Name), mount: s.mount, node: d.Node}
		if slices.Contains(mounted, d.Name) {
			var err error
			if next, _, err = v.tree.step(s, d.Name); err != nil {
				return failed("visit", join(s.path, d.Name), err)
			}
		}
		if err := v.visit(next); err != nil {
			return err
		}
	}
	return nil
}
