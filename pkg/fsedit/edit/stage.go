package edit

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// WriteFile stages new content for a file, links followed; a missing file is
// added with mode, owner root, and so are its missing parents. Content that
// equals what is there is no change.
func (s *Staged) WriteFile(p string, content blockdev.Device, mode filesys.Mode, why Reason) error {
	real, err := s.makeParents(p, true, why)
	if err != nil {
		return err
	}
	attr, err := s.lookup(real)
	switch {
	case err == nil && !attr.Mode.IsRegular():
		return &fs.PathError{Op: "write", Path: p, Err: filesys.ErrNotFile}
	case err == nil:
		old, err := s.Open(real)
		if err != nil {
			return err
		}
		if same, err := equal(old, content); err != nil || same {
			return err
		}
		mode = attr.Mode
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	s.put(real, &node{mode: filesys.Regular | mode.Perm(), content: content}, why)
	return nil
}

// Describe gives the staged file at p words of its own for people, in place of
// a computed difference: the listing of an archive.
func (s *Staged) Describe(p, diff string) {
	if real, err := s.resolve(p, true); err == nil && s.nodes[real] != nil {
		s.nodes[real].diff = diff
	}
}

// Remove stages the removal of a file, a link or an empty directory.
func (s *Staged) Remove(p string, why Reason) error {
	real, err := s.resolve(p, false)
	if err != nil {
		return err
	}
	attr, err := s.lookup(real)
	if err != nil {
		return err
	}
	if attr.Mode.IsDir() {
		list, err := s.ReadDir(real)
		if err != nil {
			return err
		}
		if len(list) > 0 || real == "/" {
			return &fs.PathError{Op: "remove", Path: p, Err: filesys.ErrNotEmpty}
		}
	}
	s.put(real, &node{}, why)
	return nil
}

// Symlink stages a link, and its missing parents. A link that is there gets the
// new target; anything else there is fs.ErrExist.
func (s *Staged) Symlink(p, target string, why Reason) error {
	real, err := s.makeParents(p, false, why)
	if err != nil {
		return err
	}
	attr, err := s.lookup(real)
	switch {
	case err == nil && !attr.Mode.IsSymlink():
		return &fs.PathError{Op: "symlink", Path: p, Err: fs.ErrExist}
	case err == nil:
		if old, err := s.readlink(real); err != nil || old == target {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	s.put(real, &node{mode: filesys.Symlink | 0o777, target: target}, why)
	return nil
}

// makeParents resolves p and stages the directories above it that are missing.
func (s *Staged) makeParents(p string, follow bool, why Reason) (string, error) {
	real, err := s.resolve(p, follow)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	dir, err := s.makeParents(path.Dir(path.Clean(p)), true, why)
	if err != nil {
		return "", err
	}
	if _, err := s.lookup(dir); errors.Is(err, fs.ErrNotExist) {
		s.put(dir, &node{mode: filesys.Dir | 0o755}, why)
	}
	return s.resolve(p, follow)
}

// put replaces what is staged for a path and keeps the reasons given before.
func (s *Staged) put(real string, n *node, why Reason) {
	if old := s.nodes[real]; old != nil {
		n.reasons = old.reasons
	}
	if !slices.Contains(n.reasons, why) {
		n.reasons = append(slices.Clip(n.reasons), why)
	}
	s.nodes[real] = n
}

// rewrite passes the content of a text file through change and stages what comes
// out. A missing file is nothing to do.
func (s *Staged) rewrite(p string, job Job, why Reason, change func(text []byte) []byte) error {
	if !guest.IsFile(s, p) {
		return nil
	}
	text, err := guest.ReadFile(s, p, job.Limits.OrDefault().Text)
	if err != nil {
		return err
	}
	return s.WriteFile(p, blockdev.FromBytes(change(text)), 0, why)
}
