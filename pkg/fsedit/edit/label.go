package edit

import (
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// autorelabel is the file that makes a guest label all its files when it starts.
const autorelabel = "/.autorelabel"

// label gives what is added the SELinux label that the guest's own policy wants
// for it; where that has none, the one of its directory, as the kernel chooses.
// Only when the policy cannot be read, the guest is told to label all its files.
func (s *Staged) label(changes []Change) ([]Change, error) {
	if !slices.ContainsFunc(changes, added) {
		return changes, nil
	}
	contexts, err := guest.FileContexts(s.base, ondisk.Limits{})
	if err != nil {
		return s.relabel(changes, err), nil
	}
	if contexts == nil {
		return changes, nil
	}
	labels := map[string]string{} // of what is added
	for i := range changes {
		c := &changes[i]
		if !added(*c) || s.keepsLabel(c) {
			continue
		}
		m := contexts.Lookup(c.Path, typeOf(c.Kind))
		for _, p := range m.Skipped {
			s.Warn("selinux", "%s line %d: %s: %s: %s is labelled without it", p.File, p.Line, p.Spec, p.Why, c.Path)
		}
		if c.Label = m.Label; c.Label == "" {
			if c.Label, err = s.inherited(labels, path.Dir(c.Path)); err != nil {
				return nil, err
			}
		}
		labels[c.Path] = c.Label
	}
	return changes, nil
}

func added(c Change) bool { return c.Kind == Add || c.Kind == Mkdir || c.Kind == Link }

func typeOf(k Kind) filesys.Mode {
	switch k {
	case Mkdir:
		return filesys.Dir
	case Link:
		return filesys.Symlink
	}
	return filesys.Regular
}

// keepsLabel reports whether a change replaces a link, whose label stays, or lies
// where there are none.
func (s *Staged) keepsLabel(c *Change) bool {
	if c.Kind == Link {
		if old, err := s.base.Lstat(c.Path); err == nil && old.Mode.IsSymlink() {
			return true
		}
	}
	disks, ok := s.base.(Disks)
	if !ok {
		return false
	}
	place, err := disks.Place(c.Path)
	return err == nil && place.Volume.Ident().Type == "vfat"
}

// inherited is the label of a directory, which may be one that is added.
func (s *Staged) inherited(labels map[string]string, dir string) (string, error) {
	if label, ok := labels[dir]; ok {
		return label, nil
	}
	attrs, err := s.base.Xattrs(dir)
	return strings.TrimSuffix(string(attrs[selinux.Xattr]), "\x00"), err
}

// relabel makes the guest label all its files.
func (s *Staged) relabel(changes []Change, why error) []Change {
	s.Warn("selinux", "its policy cannot be read (%v): the guest labels all its files anew when it starts", why)
	if _, err := s.base.Lstat(autorelabel); err == nil {
		return changes
	}
	changes = append(changes, Change{
		Path: autorelabel, Kind: Add, Mode: 0o644, Content: blockdev.FromBytes(nil),
		Reasons: []Reason{{Edit: "selinux", Text: "what is added needs labels that only the guest can find"}},
	})
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes
}
