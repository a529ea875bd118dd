package fsedittest

import (
	"context"
	"fmt"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxDepth stops a walk in a tree whose directories form a ring.
const maxDepth = 2000

// ReadFS walks a whole filesystem through its FS and fails the test on errors.
func ReadFS(t testing.TB, f filesys.FS) Tree {
	t.Helper()
	tree, err := WalkFS(f)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// WalkFS walks a whole filesystem and reads all of it.
func WalkFS(f filesys.FS) (Tree, error) {
	w := walker{fs: f, tree: Tree{}, hashes: map[filesys.Node]string{}}
	return w.tree, w.walk(f.Root(), ".", 0)
}

type walker struct {
	fs     filesys.FS
	tree   Tree
	hashes map[filesys.Node]string // of files with several names
}

func (w *walker) walk(n filesys.Node, path string, depth int) error {
	e, err := w.entry(n)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	w.tree[path] = e
	if !e.Mode.IsDir() {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: too deep", path)
	}
	list, err := w.fs.ReadDir(n)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, d := range list {
		child := d.Name
		if path != "." {
			child = path + "/" + d.Name
		}
		if _, twice := w.tree[child]; twice {
			return fmt.Errorf("%s: listed twice", child)
		}
		if err := w.walk(d.Node, child, depth+1); err != nil {
			return err
		}
		if got := w.tree[child].Mode.Type(); d.Type != 0 && d.Type != got {
			return fmt.Errorf("%s: its directory says type %o, its inode %o", child, d.Type, got)
		}
	}
	return nil
}

func (w *walker) entry(n filesys.Node) (Entry, error) {
	a, err := w.fs.Attr(n)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{
		Mode: a.Mode, UID: a.UID, GID: a.GID, Nlink: a.Nlink, Major: a.Major, Minor: a.Minor,
		Mtime: a.Mtime.UnixNano(), MtimeSec: a.Mtime.Unix(), Blocks: a.Blocks, Xattrs: map[string]string{},
	}
	xs, err := w.fs.Xattrs(n)
	if err != nil {
		return e, err
	}
	for name, value := range xs {
		e.Xattrs[name] = string(value)
	}
	switch {
	case a.Mode.IsRegular():
		e.Size = a.Size
		e.Hash, err = w.content(n, a)
	case a.Mode.IsSymlink():
		e.Size = a.Size
		e.Target, err = w.fs.Readlink(n)
	}
	return e, err
}

func (w *walker) content(n filesys.Node, a filesys.Attr) (string, error) {
	if h, ok := w.hashes[n]; ok {
		return h, nil
	}
	dev, err := w.fs.Open(n)
	if err != nil {
		return "", err
	}
	if dev.Size() != a.Size {
		return "", fmt.Errorf("open gives %d bytes, attr %d", dev.Size(), a.Size)
	}
	h, err := hashDevice(dev)
	if a.Nlink > 1 {
		w.hashes[n] = h
	}
	return h, err
}

// hashDevice leaves out what the device calls zero.
func hashDevice(dev blockdev.Device) (string, error) {
	c := newContent()
	done := int64(0)
	for e, err := range blockdev.Extents(context.Background(), dev, 0, dev.Size()) {
		if err != nil {
			return "", err
		}
		start, end := max(done, ondisk.AlignDown(e.Off, hashPage)), min(ondisk.AlignUp(e.End(), hashPage), dev.Size())
		if e.Kind == blockdev.Zero || start >= end {
			continue
		}
		if err := c.add(dev, start, end-start); err != nil {
			return "", err
		}
		done = end
	}
	return c.String(), nil
}
