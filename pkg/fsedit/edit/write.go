package edit

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// do makes one change in the open transaction.
func (s *site) do(w work) error {
	c, ed := w.change, s.editor
	dir, err := walk(ed, path.Dir(w.path))
	if err != nil {
		return err
	}
	name := path.Base(w.path)
	if err := s.unchanged(c, dir, name); err != nil {
		return err
	}
	attr := filesys.NewAttr{Mode: c.Mode, UID: c.UID, GID: c.GID}
	switch c.Kind {
	case Modify:
		return s.rewrite(c, dir, name)
	case Remove:
		return ed.Remove(dir, name)
	}
	old, err := s.clear(dir, name)
	if err != nil {
		return err
	}
	var n filesys.Node
	switch c.Kind {
	case Mkdir:
		n, err = ed.Mkdir(dir, name, attr)
	case Link:
		n, err = ed.Symlink(dir, name, c.Target, attr)
	case Add:
		if n, err = ed.Create(dir, name, attr); err == nil {
			err = ed.WriteFile(n, c.Content)
		}
	default:
		err = ondisk.Because(ondisk.ErrUnsupported, "change of kind %q", c.Kind)
	}
	if err != nil {
		return err
	}
	if c.Label != "" || c.Kind != Link {
		old = selinux.Value(c.Label)
	}
	return s.label(n, old)
}

// unchanged fails when the file is not the one that the change was made for.
func (s *site) unchanged(c *Change, dir filesys.Node, name string) error {
	if c.Before == nil {
		return nil
	}
	n, err := s.editor.Lookup(dir, name)
	if err != nil {
		return err
	}
	dev, err := s.editor.Open(n)
	if err != nil {
		return err
	}
	sum, err := hash(dev)
	if err != nil {
		return err
	}
	if sum != c.OldHash {
		return ondisk.Because(ondisk.ErrBlocked, "changed since the plan was made")
	}
	return nil
}

// rewrite gives a file new content and keeps all else but the signatures of its
// old content (security.ima and security.evm: Documentation/security/IMA).
func (s *site) rewrite(c *Change, dir filesys.Node, name string) error {
	n, err := s.editor.Lookup(dir, name)
	if err != nil {
		return err
	}
	if err := s.editor.WriteFile(n, c.Content); err != nil {
		return err
	}
	attrs, err := s.editor.Xattrs(n)
	if err != nil {
		return err
	}
	for _, stale := range []string{"security.ima", "security.evm"} {
		if _, ok := attrs[stale]; !ok {
			continue
		}
		if err := s.editor.RemoveXattr(n, stale); err != nil {
			return err
		}
	}
	return nil
}

// clear makes room for a new object, and gives the SELinux label of what was
// there as the attribute holds it.
func (s *site) clear(dir filesys.Node, name string) (label []byte, err error) {
	n, err := s.editor.Lookup(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attrs, err := s.editor.Xattrs(n)
	if err != nil {
		return nil, err
	}
	return attrs[selinux.Xattr], s.editor.Remove(dir, name)
}

// label gives a new object its SELinux label: the one that was planned, or that
// of the link which it replaces. A filesystem that keeps no attributes keeps no
// labels, and its guest expects none there.
func (s *site) label(n filesys.Node, value []byte) error {
	if len(value) <= 1 {
		return nil
	}
	err := s.editor.SetXattr(n, selinux.Xattr, value)
	if errors.Is(err, ondisk.ErrUnsupported) {
		return nil
	}
	return err
}

// walk finds the object at a path without links.
func walk(f filesys.FS, p string) (filesys.Node, error) {
	n := f.Root()
	for _, name := range strings.Split(p, "/") {
		if name == "" {
			continue
		}
		var err error
		if n, err = f.Lookup(n, name); err != nil {
			return 0, err
		}
	}
	return n, nil
}
