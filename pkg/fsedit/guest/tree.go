package guest

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// maxLinks is how many symbolic links one path may lead through, as in Linux
// (path_resolution(7)).
const maxLinks = 40

// Tree is the files of one guest as they lie on its disks: its filesystems,
// joined at their mount points. Where a mount point is missing in the filesystem
// above, the tree has a directory for it. It is safe for concurrent use. What it
// remembers of names is dropped by [Tree.Forget], to be called after edits.
type Tree struct {
	mounts map[string]*mount // by real path
	names  nameCache
	empty  error // why there is nothing at "/", when nothing is mounted
}

var _ View = (*Tree)(nil)

// NewTree joins filesystems. Of two with the same path the first counts. A mount
// point's path may lead through symbolic links of the filesystems above it.
func NewTree(mounts []Mounted) *Tree {
	t := &Tree{mounts: map[string]*mount{}}
	sorted := slices.Clone(mounts)
	slices.SortStableFunc(sorted, func(a, b Mounted) int {
		return strings.Count(path.Clean(a.Path), "/") - strings.Count(path.Clean(b.Path), "/")
	})
	for _, m := range sorted {
		real := path.Clean("/" + m.Path)
		if real != "/" {
			real = t.mountPoint(real)
		}
		if t.mounts[real] == nil {
			m.Path = real
			t.mounts[real] = newMount(m)
		}
	}
	return t
}

// EmptyTree has no files, and says why to whoever looks for one.
func EmptyTree(why error) *Tree {
	return &Tree{mounts: map[string]*mount{}, empty: why}
}

// Forget drops what was remembered: an edit has changed names.
func (t *Tree) Forget() { t.names.clear() }

func (t *Tree) Lstat(p string) (filesys.Attr, error) { return t.stat("lstat", p, false) }
func (t *Tree) Stat(p string) (filesys.Attr, error)  { return t.stat("stat", p, true) }

func (t *Tree) stat(op, p string, follow bool) (filesys.Attr, error) {
	s, err := t.resolve(p, follow)
	if err != nil {
		return filesys.Attr{}, failed(op, p, err)
	}
	a, err := s.attr()
	return a, failed(op, p, err)
}

func (t *Tree) Open(p string) (blockdev.Device, error) {
	s, err := t.resolve(p, true)
	if err != nil {
		return nil, failed("open", p, err)
	}
	if s.mount == nil {
		return nil, failed("open", p, filesys.ErrIsDir)
	}
	dev, err := s.mount.fs.Open(s.node)
	return dev, failed("open", p, err)
}

func (t *Tree) ReadDir(p string) ([]filesys.Dirent, error) {
	s, err := t.resolve(p, true)
	if err != nil {
		return nil, failed("readdir", p, err)
	}
	var list []filesys.Dirent
	if s.mount != nil {
		if list, err = s.mount.fs.ReadDir(s.node); err != nil {
			return nil, failed("readdir", p, err)
		}
	}
	for _, name := range t.mountedIn(s.path) {
		if !slices.ContainsFunc(list, func(d filesys.Dirent) bool { return d.Name == name }) {
			list = append(list, filesys.Dirent{Name: name, Type: filesys.Dir})
		}
	}
	slices.SortFunc(list, func(a, b filesys.Dirent) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (t *Tree) Readlink(p string) (string, error) {
	s, err := t.resolve(p, false)
	if err != nil {
		return "", failed("readlink", p, err)
	}
	if s.mount == nil {
		return "", failed("readlink", p, filesys.ErrInvalid)
	}
	target, err := s.mount.fs.Readlink(s.node)
	return target, failed("readlink", p, err)
}

func (t *Tree) Xattrs(p string) (map[string][]byte, error) {
	s, err := t.resolve(p, true)
	if err != nil || s.mount == nil {
		return nil, failed("xattrs", p, err)
	}
	x, err := s.mount.fs.Xattrs(s.node)
	return x, failed("xattrs", p, err)
}

func (t *Tree) Realpath(p string) (string, error) {
	s, err := t.resolve(p, true)
	var missing *missingError
	if errors.As(err, &missing) && missing.last {
		return missing.path, nil
	}
	if err != nil {
		return "", failed("realpath", p, err)
	}
	return s.path, nil
}

// Place finds the filesystem of a real path, whose last elements may be missing.
func (t *Tree) Place(real string) (Place, error) {
	real = path.Clean("/" + real)
	for at := real; ; at = path.Dir(at) {
		m := t.mounts[at]
		if m == nil {
			if at == "/" {
				return Place{}, failed("place", real, t.nothing())
			}
			continue
		}
		volume, _, err := m.Open()
		if err != nil {
			return Place{}, failed("place", real, err)
		}
		inside := "/" + strings.TrimPrefix(strings.TrimPrefix(real, at), "/")
		return Place{Mount: at, Volume: volume, Path: inside}, nil
	}
}

// Mountpoints lists where filesystems are, in byte order.
func (t *Tree) Mountpoints() []string {
	out := make([]string, 0, len(t.mounts))
	for p := range t.mounts {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Space is the room in the filesystem that holds a real path.
func (t *Tree) Space(real string) (filesys.Space, error) {
	p, err := t.Place(real)
	if err != nil {
		return filesys.Space{}, err
	}
	return p.Volume.Space(), nil
}

func failed(op, p string, err error) error {
	if err == nil {
		return nil
	}
	var missing *missingError
	if errors.As(err, &missing) {
		err = fs.ErrNotExist
	}
	return &fs.PathError{Op: op, Path: p, Err: err}
}
