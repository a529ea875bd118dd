package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// differ walks two trees in step, so that neither has to fit into memory.
type differ struct {
	ctx   context.Context
	times bool
	text  bool // compare text line by line
	emit  func(change) error
	found bool // a difference
	a, b  [64 << 10]byte
}

// trees compares what two guests have at a path and below.
func (d *differ) trees(x, y *guest.Tree, p string) error {
	nextX, stopX := iter.Pull2(objects(d.ctx, x, p))
	defer stopX()
	nextY, stopY := iter.Pull2(objects(d.ctx, y, p))
	defer stopY()
	a, errA, okA := nextX()
	b, errB, okB := nextY()
	if !okA && !okB {
		return &fs.PathError{Op: "diff", Path: p, Err: fs.ErrNotExist}
	}
	for okA || okB {
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = comparePaths(a.path, b.path)
		}
		var err error
		switch {
		case order < 0:
			err = d.tell(change{path: fullPath(p, a), kind: "removed", before: &a.Object})
		case order > 0:
			err = d.tell(change{path: fullPath(p, b), kind: "added", after: &b.Object})
		default:
			err = d.pair(fullPath(p, a), a.Object, b.Object)
		}
		if err != nil {
			return err
		}
		if order <= 0 {
			a, errA, okA = nextX()
		}
		if order >= 0 {
			b, errB, okB = nextY()
		}
	}
	return nil
}

// below is an object by its path from where the comparison begins.
type below struct {
	guest.Object
	path string
}

func fullPath(top string, o below) string {
	if o.path == "" {
		return top
	}
	return strings.TrimSuffix(top, "/") + "/" + o.path
}

// objects are what is at a path and below it, in the order of comparePaths; nothing
// where the path leads nowhere.
func objects(ctx context.Context, tree *guest.Tree, p string) iter.Seq2[below, error] {
	return func(yield func(below, error) bool) {
		real, err := tree.Realpath(p)
		if err == nil {
			var a filesys.Attr
			a, err = tree.Stat(real)
			if err == nil && !a.Mode.IsDir() {
				var place guest.Place
				if place, err = tree.Place(real); err == nil {
					o := guest.Object{Path: real, Mount: place.Mount, Attr: a}
					o.FS, err = place.Volume.Root("")
					yield(below{Object: o}, err)
					return
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		top := strings.TrimSuffix(real, "/") + "/"
		if err == nil {
			err = tree.Visit(ctx, real, func(o guest.Object) error {
				name, _ := strings.CutPrefix(o.Path, top)
				if o.Path == real {
					name = ""
				}
				if !yield(below{o, name}, nil) {
					return errStopped
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(below{}, err)
		}
	}
}

var errStopped = errors.New("stopped")

// comparePaths is the order in which trees are visited: a folder, what is in it, and
// then the name that follows it.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			}
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

func (d *differ) tell(c change) error {
	d.found = true
	return d.emit(c)
}

// pair compares two objects of the same path.
func (d *differ) pair(p string, a, b guest.Object) error {
	c := change{path: p, kind: "changed", before: &a, after: &b}
	note := func(differs bool, what string) {
		if differs {
			c.what = append(c.what, what)
		}
	}
	kind := a.Attr.Mode.Type()
	same := kind == b.Attr.Mode.Type()
	note(!same, "type")
	note(a.Attr.Mode.Perm() != b.Attr.Mode.Perm(), "mode")
	note(a.Attr.UID != b.Attr.UID || a.Attr.GID != b.Attr.GID, "owner")
	note(same && kind != filesys.Dir && a.Attr.Nlink != b.Attr.Nlink, "links")
	note(same && a.Attr.Mode.IsDevice() && (a.Attr.Major != b.Attr.Major || a.Attr.Minor != b.Attr.Minor), "device")
	note(d.times && !a.Attr.Mtime.Equal(b.Attr.Mtime), "time")
	if a.FS != nil && b.FS != nil {
		xattrs, err := differentXattrs(a, b)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		note(xattrs, "xattrs")
	}
	if same {
		what, err := d.content(&c, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		note(what, map[bool]string{true: "target", false: "content"}[kind == filesys.Symlink])
	}
	if len(c.what) == 0 {
		return nil
	}
	return d.tell(c)
}

func differentXattrs(a, b guest.Object) (bool, error) {
	x, err := a.FS.Xattrs(a.Attr.Node)
	if err != nil {
		return false, err
	}
	y, err := b.FS.Xattrs(b.Attr.Node)
	return !maps.EqualFunc(x, y, bytes.Equal), err
}

// content compares files and links.
func (d *differ) content(c *change, kind filesys.Mode) (differs bool, err error) {
	a, b := c.before, c.after
	switch kind {
	case filesys.Symlink:
		x, err := a.FS.Readlink(a.Attr.Node)
		if err != nil {
			return false, err
		}
		y, err := b.FS.Readlink(b.Attr.Node)
		return x != y, err
	case filesys.Regular:
	default:
		return false, nil
	}
	if a.Attr.Size != b.Attr.Size && !d.text {
		return true, nil
	}
	x, err := a.FS.Open(a.Attr.Node)
	if err != nil {
		return false, err
	}
	y, err := b.FS.Open(b.Attr.Node)
	if err != nil {
		return false, err
	}
	if differs = x.Size() != y.Size(); !differs {
		differs, err = d.bytes(x, y)
	}
	if differs && err == nil && d.text {
		c.diff, err = textDiff(c.path, x, y)
	}
	return differs, err
}

// manyBytes is from where on the holes of files are worth a look, and all cores.
const manyBytes = 4 << 20

// bytes reports whether two files of one size differ.
func (d *differ) bytes(x, y blockdev.Device) (bool, error) {
	if x.Size() > manyBytes {
		first, err := convert.Compare(d.ctx, x, y, nil)
		return first != convert.Same, err
	}
	for off := int64(0); off < x.Size(); off += int64(len(d.a)) {
		n := min(int64(len(d.a)), x.Size()-off)
		if err := ondisk.Full(x, d.a[:n], off); err != nil {
			return false, err
		}
		if err := ondisk.Full(y, d.b[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(d.a[:n], d.b[:n]) {
			return true, nil
		}
	}
	return false, nil
}

// maxText is the size of a file up to which its lines are compared.
const maxText = 256 << 10

// textDiff is how two texts differ; "" when they are large, or none.
func textDiff(path string, x, y blockdev.Device) (string, error) {
	if x.Size() > maxText || y.Size() > maxText {
		return "", nil
	}
	var sides [2][]string
	for i, dev := range []blockdev.Device{x, y} {
		p, err := io.ReadAll(blockdev.NewReader(dev))
		if err != nil {
			return "", err
		}
		if !utf8.Valid(p) || bytes.IndexByte(p, 0) >= 0 {
			return "", nil
		}
		sides[i] = slices.Collect(strings.Lines(string(p)))
		if n := len(sides[i]); n > 0 && !strings.HasSuffix(sides[i][n-1], "\n") {
			sides[i][n-1] += "\n\\ No newline at end of file\n"
		}
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: sides[0], B: sides[1], FromFile: "a" + path, ToFile: "b" + path, Context: 3})
}
