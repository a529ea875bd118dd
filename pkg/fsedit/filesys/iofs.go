package filesys

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// IOFS shows a filesystem to the standard library. It is a view for tools, not
// the way to a guest's files: io/fs refuses names that Linux allows, so bytes that
// are not UTF-8, and "%", appear as "%" and two hex digits. Symbolic links are
// followed inside this one filesystem; an absolute one begins at its root.
func IOFS(f FS) fs.FS { return &ioFS{fs: f} }

type ioFS struct{ fs FS }

var (
	_ fs.ReadDirFS  = (*ioFS)(nil)
	_ fs.StatFS     = (*ioFS)(nil)
	_ fs.ReadLinkFS = (*ioFS)(nil)
)

// escapeName makes a name of Linux one that fs.ValidPath accepts.
func escapeName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == '%' || r == utf8.RuneError && n == 1 {
			b.WriteByte('%')
			b.WriteString(strconv.FormatUint(uint64(name[i])|0x100, 16)[1:])
		} else {
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// unescapeName is the reverse; text that no name gives stays as it is.
func unescapeName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+3 <= len(name) {
			if c, err := strconv.ParseUint(name[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

const maxLinks = 40

// walk finds a node; the last element's link is followed on demand.
func (f *ioFS) walk(op, name string, follow bool) (Node, error) {
	fail := func(err error) (Node, error) { return 0, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	stack := []Node{f.fs.Root()}
	rest := strings.Split(name, "/")
	for i := range rest {
		rest[i] = unescapeName(rest[i])
	}
	for links := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		n, err := f.fs.Lookup(stack[len(stack)-1], step)
		if err != nil {
			return fail(err)
		}
		a, err := f.fs.Attr(n)
		if err != nil {
			return fail(err)
		}
		if !a.Mode.IsSymlink() || len(rest) == 0 && !follow {
			stack = append(stack, n)
			continue
		}
		target, err := f.fs.Readlink(n)
		if err != nil {
			return fail(err)
		}
		if links++; links > maxLinks {
			return fail(ErrLoop)
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return stack[len(stack)-1], nil
}

func (f *ioFS) info(op, name string, follow bool) (fs.FileInfo, error) {
	n, err := f.walk(op, name, follow)
	if err != nil {
		return nil, err
	}
	a, err := f.fs.Attr(n)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return ioInfo{path.Base(name), a}, nil
}

func (f *ioFS) Stat(name string) (fs.FileInfo, error)  { return f.info("stat", name, true) }
func (f *ioFS) Lstat(name string) (fs.FileInfo, error) { return f.info("lstat", name, false) }

func (f *ioFS) ReadLink(name string) (string, error) {
	n, err := f.walk("readlink", name, false)
	if err != nil {
		return "", err
	}
	target, err := f.fs.Readlink(n)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// ReadDir lists in the order of names, as io/fs wants it.
func (f *ioFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.walk("readdir", name, true)
	if err != nil {
		return nil, err
	}
	list, err := f.fs.ReadDir(n)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	out := make([]fs.DirEntry, 0, len(list))
	for _, d := range list {
		a, err := f.fs.Attr(d.Node)
		if err != nil {
			return out, &fs.PathError{Op: "readdir", Path: path.Join(name, d.Name), Err: err}
		}
		out = append(out, fs.FileInfoToDirEntry(ioInfo{escapeName(d.Name), a}))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

func (f *ioFS) Open(name string) (fs.File, error) {
	info, err := f.info("open", name, true)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		list, err := f.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &ioDir{info: info, name: name, list: list}, nil
	}
	dev, err := f.fs.Open(info.(ioInfo).attr.Node)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &ioFile{info: info, SectionReader: blockdev.NewReader(dev)}, nil
}

// ioInfo is fs.FileInfo over an Attr, which Sys gives.
type ioInfo struct {
	name string
	attr Attr
}

func (i ioInfo) Name() string       { return i.name }
func (i ioInfo) Size() int64        { return i.attr.Size }
func (i ioInfo) Mode() fs.FileMode  { return i.attr.Mode.FS() }
func (i ioInfo) ModTime() time.Time { return i.attr.Mtime }
func (i ioInfo) IsDir() bool        { return i.attr.Mode.IsDir() }
func (i ioInfo) Sys() any           { return i.attr }

type ioFile struct {
	info fs.FileInfo
	*io.SectionReader
}

func (f *ioFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *ioFile) Close() error               { return nil }

type ioDir struct {
	info fs.FileInfo
	name string
	list []fs.DirEntry
}

func (d *ioDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *ioDir) Close() error               { return nil }

func (d *ioDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: ErrIsDir}
}

func (d *ioDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.list)
	} else if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	out := d.list[:n:n]
	d.list = d.list[n:]
	return out, nil
}
