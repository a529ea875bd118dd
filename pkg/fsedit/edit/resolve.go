package edit

import (
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// tags are the ways to name a filesystem by what is written on it, with the
// folder of links that udev makes for each.
var tags = []struct {
	key, dir string
	value    func(*guest.Filesystem) string
}{
	{"UUID=", "/dev/disk/by-uuid/", func(f *guest.Filesystem) string { return f.UUID }},
	{"PARTUUID=", "/dev/disk/by-partuuid/", func(f *guest.Filesystem) string { return f.PartUUID }},
	{"PARTLABEL=", "/dev/disk/by-partlabel/", func(f *guest.Filesystem) string { return f.PartLabel }},
	{"LABEL=", "/dev/disk/by-label/", func(f *guest.Filesystem) string { return f.Label }},
}

// Resolve finds the filesystem that a word of fstab(5) or of root= means on the
// target. It is nil where no disk holds it, or where the word is a name that
// the target gives to another device or to none.
func Resolve(facts *guest.Facts, needs Needs, spec string) *guest.Filesystem {
	for _, tag := range tags {
		value, ok := strings.CutPrefix(spec, tag.key)
		if !ok {
			value, ok = strings.CutPrefix(spec, tag.dir)
		}
		if !ok {
			continue
		}
		value = strings.Trim(value, `"`)
		for i := range facts.Filesystems {
			if f := &facts.Filesystems[i]; value != "" && strings.EqualFold(tag.value(f), value) {
				return f
			}
		}
		return nil
	}
	for i := range facts.Filesystems {
		if slices.Contains(facts.Filesystems[i].Names, spec) {
			return &facts.Filesystems[i]
		}
	}
	n := newNames(Job{Facts: facts, Needs: needs})
	f := n.find(spec)
	if f == nil || needs.DiskName != nil && stale(spec) && partitionName(needs.DiskName(f.Disk), f.Number) != spec {
		return nil
	}
	return f
}
