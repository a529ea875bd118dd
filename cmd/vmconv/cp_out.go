package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// outward copies a tree of the guest below one folder of the host. All host
// paths go through an os.Root, so that no link of the guest leads out of it.
type outward struct {
	ctx   context.Context
	tree  *guest.Tree
	walk  walk
	root  *os.Root
	owner bool              // we may set owners
	links map[object]string // first path of a file with several links
	warn  func(path, text string)
	later []func() error // times and modes of folders, set when they are full
}

// takeOut copies the guest's src to dir/name on the host.
func (a *app) takeOut(ctx context.Context, m *guestSession, recursive bool, src, dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	o := outward{
		ctx: ctx, tree: m.Tree, walk: newWalk(ctx, m.Tree), root: root, owner: os.Geteuid() == 0, links: map[object]string{},
		warn: func(p, text string) { a.ui.warn(p, "cp", text) },
	}
	attr, err := m.Tree.Stat(src)
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	if attr.Mode.IsDir() && !recursive {
		return usagef("%s is a folder; copy it with -r", src)
	}
	_, err = root.Lstat(name)
	fresh := errors.Is(err, os.ErrNotExist)
	if err = o.all(src, name, attr); err != nil && fresh {
		root.RemoveAll(name) // complete or absent
	}
	return err
}

// all copies src with all that is in it.
func (o *outward) all(src, dst string, attr filesys.Attr) error {
	if err := o.copy(src, dst, attr); err != nil {
		return err
	}
	for i := len(o.later) - 1; i >= 0; i-- {
		if err := o.later[i](); err != nil {
			return err
		}
	}
	return nil
}

func (o *outward) copy(src, dst string, attr filesys.Attr) error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	if attr.Nlink > 1 && !attr.Mode.IsDir() {
		id, err := objectAt(o.tree, src, attr.Node)
		if err != nil {
			return fmt.Errorf("%s: %w", src, err)
		}
		if first, ok := o.links[id]; ok {
			return o.root.Link(first, dst)
		}
		o.links[id] = dst
	}
	var err error
	switch attr.Mode.Type() {
	case filesys.Dir:
		return o.dir(src, dst, attr)
	case filesys.Regular:
		err = o.file(src, dst)
	case filesys.Symlink:
		var target string
		if target, err = o.tree.Readlink(src); err == nil {
			err = o.root.Symlink(target, dst)
		}
	default:
		if err = osfile.Mknod(o.root, dst, attr.Mode.FS(), attr.Major, attr.Minor); errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
			o.warn(src, "a device or socket needs root to copy; left out")
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	return o.stamp(dst, attr)
}

func (o *outward) dir(src, dst string, attr filesys.Attr) error {
	if err := o.walk.enter(src); err != nil {
		return err
	}
	if dst != "." {
		if err := o.root.Mkdir(dst, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		o.later = append(o.later, func() error { return o.stamp(dst, attr) })
	}
	entries, err := o.tree.ReadDir(src)
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	for _, e := range entries {
		full := path.Join(src, e.Name)
		attr, err := o.tree.Lstat(full)
		if err != nil {
			return fmt.Errorf("%s: %w", full, err)
		}
		if err := o.copy(full, path.Join(dst, e.Name), attr); err != nil {
			return err
		}
	}
	return nil
}

// file copies a regular file, leaving its holes out.
func (o *outward) file(src, dst string) error {
	dev, err := o.tree.Open(src)
	if err != nil {
		return err
	}
	f, err := o.root.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = o.content(f, dev)
	}
	err = errors.Join(err, f.Close())
	if err != nil && info != nil && info.Mode().IsRegular() {
		o.root.Remove(dst) // nobody shall take it for the whole file
	}
	return err
}

func (o *outward) content(f *os.File, dev blockdev.Device) error {
	if err := f.Truncate(dev.Size()); err != nil {
		return err
	}
	for e, err := range blockdev.Extents(o.ctx, dev, 0, dev.Size()) {
		if err != nil {
			return err
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		if _, err := io.Copy(io.NewOffsetWriter(f, e.Off), until{o.ctx, io.NewSectionReader(dev, e.Off, e.Len)}); err != nil {
			return err
		}
	}
	return nil
}

// stamp sets owner, mode and times, in the order in which they do not undo each
// other.
func (o *outward) stamp(dst string, attr filesys.Attr) error {
	if o.owner {
		if err := o.root.Lchown(dst, int(attr.UID), int(attr.GID)); err != nil {
			return err
		}
	}
	if !attr.Mode.IsSymlink() {
		if err := o.root.Chmod(dst, attr.Mode.FS()); err != nil {
			return err
		}
	}
	return osfile.Chtimes(o.root, dst, attr.Atime, attr.Mtime)
}
