package guest

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// spot is an object of the tree: a node of a mounted filesystem, or, with no
// mount, a directory that only leads to a mount point.
type spot struct {
	path  string // without links
	mount *mount
	node  filesys.Node
}

func (s spot) attr() (filesys.Attr, error) {
	if s.mount == nil {
		return filesys.Attr{Mode: filesys.Dir | 0o755, Nlink: 2}, nil
	}
	return s.mount.fs.Attr(s.node)
}

// missingError is a name that does not exist; with last, all but it does.
type missingError struct {
	path string // real path of the name
	last bool
}

func (e *missingError) Error() string { return fs.ErrNotExist.Error() }
func (e *missingError) Unwrap() error { return fs.ErrNotExist }

// resolve walks a path from the root of the guest, which ".." never leaves.
func (t *Tree) resolve(p string, follow bool) (spot, error) {
	if !strings.HasPrefix(p, "/") || strings.ContainsRune(p, 0) {
		return spot{}, fs.ErrInvalid
	}
	here, err := t.root()
	if err != nil {
		return spot{}, err
	}
	rest := strings.Split(p, "/")
	stack := []spot{here}
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		here = stack[len(stack)-1]
		if name == "" || name == "." || name == ".." {
			if err := t.mustBeDir(here); err != nil {
				return spot{}, err
			}
			if name == ".." {
				stack = stack[:max(1, len(stack)-1)]
			}
			continue
		}
		next, target, err := t.step(here, name)
		if errors.Is(err, fs.ErrNotExist) {
			return spot{}, &missingError{path: join(here.path, name), last: trailing(rest)}
		}
		if err != nil {
			return spot{}, err
		}
		if target == "" || len(rest) == 0 && !follow {
			stack = append(stack, next)
			continue
		}
		if links++; links > maxLinks {
			return spot{}, filesys.ErrLoop
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return stack[len(stack)-1], nil
}

// trailing reports whether nothing but slashes follows.
func trailing(rest []string) bool {
	for _, name := range rest {
		if name != "" {
			return false
		}
	}
	return true
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

func (t *Tree) mustBeDir(s spot) error {
	if s.path == "/" || s.mount == nil {
		return nil
	}
	a, err := s.attr()
	if err == nil && !a.Mode.IsDir() {
		err = filesys.ErrNotDir
	}
	return err
}

func (t *Tree) root() (spot, error) {
	if len(t.mounts) == 0 {
		return spot{}, t.nothing()
	}
	return t.enter("/")
}

// nothing is why no filesystem holds a path.
func (t *Tree) nothing() error {
	if t.empty != nil {
		return t.empty
	}
	return fs.ErrNotExist
}

// enter is the root of the filesystem mounted at p, or a directory in the air.
func (t *Tree) enter(p string) (spot, error) {
	m := t.mounts[p]
	if m == nil {
		return spot{path: p}, nil
	}
	if _, _, err := m.Open(); err != nil {
		return spot{}, err
	}
	return spot{path: p, mount: m, node: m.fs.Root()}, nil
}

// step goes to a name in a directory; target is set when it is a link.
func (t *Tree) step(here spot, name string) (next spot, target string, err error) {
	p := join(here.path, name)
	if t.mounts[p] != nil {
		next, err = t.enter(p)
		return next, "", err
	}
	if here.mount == nil {
		if t.leads(p) {
			return spot{path: p}, "", nil
		}
		return spot{}, "", fs.ErrNotExist
	}
	entry, err := t.names.lookup(here.mount, here.node, name)
	if errors.Is(err, fs.ErrNotExist) && t.leads(p) {
		return spot{path: p}, "", nil
	}
	if err != nil {
		return spot{}, "", err
	}
	return spot{path: p, mount: here.mount, node: entry.node}, entry.target, nil
}

// leads reports whether a mount point lies below p.
func (t *Tree) leads(p string) bool {
	for at := range t.mounts {
		if strings.HasPrefix(at, p+"/") {
			return true
		}
	}
	return false
}

// mountedIn lists the names in directory p that lead to mount points.
func (t *Tree) mountedIn(p string) []string {
	var names []string
	seen := map[string]bool{}
	for at, m := range t.mounts {
		rest, ok := strings.CutPrefix(at, strings.TrimSuffix(p, "/")+"/")
		if !ok || rest == "" || m.Private {
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// mountPoint resolves the links in a mount point's path as far as that opens no
// filesystem that nobody has asked for: looking at /etc must not open /boot.
func (t *Tree) mountPoint(p string) string {
	if len(t.mounts) == 0 {
		return p
	}
	dir := "/"
	for rest := p[1:]; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		at := join(dir, name)
		if m := t.mounts[at]; m != nil {
			return path.Join(at, rest)
		}
		real, err := t.Realpath(at)
		if err != nil {
			return path.Join(at, rest)
		}
		dir = real
	}
	return dir
}
