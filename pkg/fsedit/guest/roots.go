package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// candidate is a filesystem that has the root of a system at its top.
type candidate struct {
	source *Source
	view   *Tree // of the root alone
	fstab  []fstabEntry
	os     OS // read only to tell several systems apart
}

// chooseRoot finds the one system, or the one that the user named; nil when there
// is none.
func (in *inspection) chooseRoot(ctx context.Context) (*candidate, error) {
	if in.opts.Root != "" {
		return in.namedRoot()
	}
	var found []*candidate
	for i := range in.sources {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c := in.candidate(&in.sources[i]); c != nil {
			found = append(found, c)
		}
	}
	if len(found) > 1 {
		found = in.withoutCopies(found)
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, ambiguous(found)
}

// namedRoot is the system on the volume that the user named.
func (in *inspection) namedRoot() (*candidate, error) {
	name := strings.TrimPrefix(in.opts.Root, "/dev/")
	ids := []string{name}
	if in.source(name) == nil {
		if ids = in.devices.Find(in.opts.Root); len(ids) == 0 {
			ids = in.devices.Find("UUID=" + in.opts.Root)
		}
	}
	switch {
	case len(ids) == 0:
		return nil, ondisk.Because(fs.ErrNotExist, "no volume %s: there are %s", in.opts.Root, in.names())
	case len(ids) > 1:
		return nil, ondisk.Because(ondisk.ErrAmbiguous, "%s is on several volumes: %s", in.opts.Root, strings.Join(ids, ", "))
	}
	s := in.source(in.openedOn(ids[0]))
	if s.Open == nil {
		return nil, s.unreadable()
	}
	c := in.candidate(s)
	if c == nil {
		if len(in.unread) > 0 {
			return nil, in.unread[0]
		}
		return nil, ondisk.Because(fs.ErrNotExist, "%s holds no system", ids[0])
	}
	return c, nil
}

// names lists the volumes that hold something.
func (in *inspection) names() string {
	var out []string
	for _, f := range in.facts.Filesystems {
		out = append(out, fmt.Sprintf("%s (%s)", f.Volume, f.Type))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// candidate looks for a root at the top of a source; nil when there is none.
func (in *inspection) candidate(s *Source) *candidate {
	if s.Open == nil || s.Ident.Type == "swap" {
		return nil
	}
	if _, _, err := s.Open(); err != nil {
		in.unread = append(in.unread, fmt.Errorf("%s: %w", s.Volume.ID, err))
		in.warn("%s: %v", s.Volume.ID, err)
		return nil
	}
	v := NewTree([]Mounted{{Path: "/", Volume: s.Volume.ID, Open: s.Open}})
	if !isRoot(v) {
		if other := otherRole(v); other != "" {
			in.named = append(in.named, ondisk.Because(ondisk.ErrUnsupported, "%s holds %s", s.Volume.ID, other))
		}
		return nil
	}
	if other := otherRole(v); other != "" {
		in.named = append(in.named, ondisk.Because(ondisk.ErrUnsupported, "%s holds %s", s.Volume.ID, other))
		return nil
	}
	c := &candidate{source: s, view: v}
	text, err := ReadFile(v, "/etc/fstab", in.opts.Limits.Text)
	switch {
	case err == nil:
		c.fstab = parseFstab(text)
	case !errors.Is(err, fs.ErrNotExist):
		in.warn("%s: %v", s.Volume.ID, err)
	}
	return c
}

// isRoot is the test of virt-tools, widened: /bin may be a link to anywhere, and
// an image may have neither fstab nor hosts.
func isRoot(v View) bool {
	if !IsDir(v, "/etc") {
		return false
	}
	if Exists(v, "/etc/NIXOS") {
		return true
	}
	bin, err := v.Lstat("/bin")
	if err != nil || !bin.Mode.IsDir() && !bin.Mode.IsSymlink() {
		return false
	}
	for _, p := range []string{"/etc/fstab", "/etc/hosts", "/etc/os-release"} {
		if a, err := v.Lstat(p); err == nil && (a.Mode.IsRegular() || a.Mode.IsSymlink()) {
			return true
		}
	}
	return false
}

// others are systems that are recognised so that they can be named.
var others = []struct{ file, name string }{
	{"/etc/freebsd-update.conf", "FreeBSD"}, {"/netbsd", "NetBSD"}, {"/bsd", "OpenBSD"}, {"/hurd/console", "GNU Hurd"},
	{"/service/vm", "Minix"}, {"/ostree/deploy", "an ostree deployment, whose root is not at its top"},
}

func otherRole(v View) string {
	for _, o := range others {
		if o.file == "/ostree/deploy" && IsFile(v, "/etc/fstab") {
			continue
		}
		if Exists(v, o.file) {
			return o.name
		}
	}
	return ""
}

// withoutCopies drops a system whose own fstab says that another one, of the same
// distribution and version, is the root: a snapshot or a copy that was left.
func (in *inspection) withoutCopies(found []*candidate) []*candidate {
	for _, c := range found {
		c.os = readOS(c.view, in.opts.Limits.Text)
	}
	var out []*candidate
	for _, c := range found {
		original := in.originOf(c, found)
		if original == nil {
			out = append(out, c)
			continue
		}
		in.warn("%s is a copy of the system on %s and is left out", c.source.Volume.ID, original.source.Volume.ID)
	}
	return out
}

func (in *inspection) originOf(c *candidate, found []*candidate) *candidate {
	i := slices.IndexFunc(c.fstab, func(e fstabEntry) bool { return e.path == "/" })
	if i < 0 {
		return nil
	}
	ids := in.devices.Find(c.fstab[i].spec)
	if len(ids) != 1 || ids[0] == c.source.Volume.ID {
		return nil
	}
	for _, o := range found {
		if o.source.Volume.ID == ids[0] && o.os.Distro == c.os.Distro && o.os.Version == c.os.Version {
			return o
		}
	}
	return nil
}

func ambiguous(found []*candidate) error {
	var list []string
	for _, c := range found {
		name := c.os.Name
		if name == "" {
			name = "Linux"
		}
		list = append(list, fmt.Sprintf("%s (%s)", c.source.Volume.ID, name))
	}
	return ondisk.Because(ondisk.ErrAmbiguous, "several systems: %s", strings.Join(list, ", "))
}

// noSystem is why nothing was found: what each volume holds instead.
func (in *inspection) noSystem() error {
	causes := slices.Concat(in.named, in.unread)
	for i := range in.sources {
		s := &in.sources[i]
		if v := s.Volume; s.Open == nil && (s.Ident.Type != "" || v.Locked != nil) && in.openedOn(v.ID) == v.ID {
			causes = append(causes, s.unreadable())
		}
	}
	return &noSystemError{causes}
}

// noSystemError is a guest without a system that can be read.
type noSystemError struct{ causes []error }

func (e *noSystemError) Error() string {
	if len(e.causes) == 0 {
		return "no system was found"
	}
	var text []string
	for _, c := range e.causes {
		text = append(text, c.Error())
	}
	return "no system was found: " + strings.Join(text, "; ")
}

func (e *noSystemError) Unwrap() []error {
	if len(e.causes) == 0 {
		return []error{ondisk.ErrUnsupported}
	}
	return e.causes
}
