package edit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// maxLinks is how many symbolic links one path may lead through, as in Linux:
// path_resolution(7).
const maxLinks = 40

// Staged is a guest's tree with changes on top that exist only here. It is a
// guest.View; edits read through it and stage their changes in it. It is for
// one goroutine.
type Staged struct {
	base     guest.View
	nodes    map[string]*node // by real path
	warnings []Warning
}

var _ guest.View = (*Staged)(nil)

// node is what a path has become. Its type bits tell what it is; none of them
// is a removal.
type node struct {
	mode    filesys.Mode // type and permissions
	content blockdev.Device
	target  string // of a link
	diff    string // an edit's own description, instead of a computed one
	reasons []Reason
}

// NewStaged starts with no changes over base.
func NewStaged(base guest.View) *Staged {
	return &Staged{base: base, nodes: map[string]*node{}}
}

// lookup is Lstat of a path whose parents are free of links.
func (s *Staged) lookup(real string) (filesys.Attr, error) {
	n := s.nodes[real]
	if n == nil && s.detached(real) {
		return filesys.Attr{}, notExist("lstat", real)
	}
	if n == nil {
		return s.base.Lstat(real)
	}
	if n.mode == 0 {
		return filesys.Attr{}, notExist("lstat", real)
	}
	attr, err := s.base.Lstat(real)
	if err != nil || attr.Mode.Type() != n.mode.Type() {
		attr = filesys.Attr{Mode: n.mode, Nlink: 1}
	}
	switch {
	case n.content != nil:
		attr.Size = n.content.Size()
	case n.target != "":
		attr.Size = int64(len(n.target))
	}
	return attr, nil
}

// detached reports whether a parent of real was staged: what the base has below
// that name, through a link that is gone now, is not there any more.
func (s *Staged) detached(real string) bool {
	for dir := path.Dir(real); dir != "/"; dir = path.Dir(dir) {
		if s.nodes[dir] != nil {
			return true
		}
	}
	return false
}

// resolve walks p through the staged state. The last element may be missing,
// and is not followed unless follow is set.
func (s *Staged) resolve(p string, follow bool) (string, error) {
	if !strings.HasPrefix(p, "/") {
		return "", &fs.PathError{Op: "resolve", Path: p, Err: fs.ErrInvalid}
	}
	real, rest := "/", strings.Split(p, "/")
	for hops := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real)
			continue
		}
		next := join(real, name)
		last := !slices.ContainsFunc(rest, func(e string) bool { return e != "" && e != "." })
		attr, err := s.lookup(next)
		switch {
		case err != nil && last && errors.Is(err, fs.ErrNotExist):
			return next, nil
		case err != nil:
			return "", err
		case attr.Mode.IsSymlink() && (!last || follow):
			if hops++; hops > maxLinks {
				return "", &fs.PathError{Op: "resolve", Path: p, Err: filesys.ErrLoop}
			}
			target, err := s.readlink(next)
			if err != nil {
				return "", err
			}
			if strings.HasPrefix(target, "/") {
				real = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		case !last && !attr.Mode.IsDir():
			return "", &fs.PathError{Op: "resolve", Path: p, Err: filesys.ErrNotDir}
		default:
			real = next
		}
	}
	return real, nil
}

func (s *Staged) readlink(real string) (string, error) {
	if n := s.nodes[real]; n != nil {
		if n.mode.IsSymlink() {
			return n.target, nil
		}
		return "", &fs.PathError{Op: "readlink", Path: real, Err: fs.ErrInvalid}
	}
	return s.base.Readlink(real)
}

func (s *Staged) Lstat(p string) (filesys.Attr, error) {
	real, err := s.resolve(p, false)
	if err != nil {
		return filesys.Attr{}, err
	}
	return s.lookup(real)
}

func (s *Staged) Stat(p string) (filesys.Attr, error) {
	real, err := s.resolve(p, true)
	if err != nil {
		return filesys.Attr{}, err
	}
	return s.lookup(real)
}

func (s *Staged) Open(p string) (blockdev.Device, error) {
	real, err := s.resolve(p, true)
	if err != nil {
		return nil, err
	}
	attr, err := s.lookup(real)
	switch n := s.nodes[real]; {
	case err != nil:
		return nil, err
	case attr.Mode.IsDir():
		return nil, &fs.PathError{Op: "open", Path: p, Err: filesys.ErrIsDir}
	case !attr.Mode.IsRegular():
		return nil, &fs.PathError{Op: "open", Path: p, Err: filesys.ErrNotFile}
	case n != nil:
		return n.content, nil
	}
	return s.base.Open(real)
}

func (s *Staged) ReadDir(p string) ([]filesys.Dirent, error) {
	real, err := s.resolve(p, true)
	if err != nil {
		return nil, err
	}
	attr, err := s.lookup(real)
	if err != nil {
		return nil, err
	}
	if !attr.Mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: filesys.ErrNotDir}
	}
	var list []filesys.Dirent
	if s.nodes[real] == nil && !s.detached(real) {
		if list, err = s.base.ReadDir(real); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(d filesys.Dirent) bool {
		return s.nodes[join(real, d.Name)] != nil
	})
	for name, n := range s.nodes {
		if path.Dir(name) == real && n.mode != 0 {
			list = append(list, filesys.Dirent{Name: path.Base(name), Type: n.mode.Type()})
		}
	}
	slices.SortFunc(list, func(a, b filesys.Dirent) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s *Staged) Readlink(p string) (string, error) {
	real, err := s.resolve(p, false)
	if err != nil {
		return "", err
	}
	return s.readlink(real)
}

// Xattrs are those of the base; an object added here has none yet.
func (s *Staged) Xattrs(p string) (map[string][]byte, error) {
	real, err := s.resolve(p, true)
	if err != nil {
		return nil, err
	}
	if s.nodes[real] != nil {
		if _, err := s.base.Lstat(real); err != nil {
			return nil, nil
		}
	}
	return s.base.Xattrs(real)
}

func (s *Staged) Realpath(p string) (string, error) { return s.resolve(p, true) }

// Warn records what an edit left alone and the user should know.
func (s *Staged) Warn(edit, format string, args ...any) {
	w := Warning{Edit: edit, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(s.warnings, w) {
		s.warnings = append(s.warnings, w)
	}
}

// Warnings are in the order of the edits.
func (s *Staged) Warnings() []Warning { return slices.Clone(s.warnings) }

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

func notExist(op, p string) error {
	return &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist}
}
