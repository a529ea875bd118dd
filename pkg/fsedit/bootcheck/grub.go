package bootcheck

import (
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// grubRejects are features of filesystems for which GRUB has no code: grub-core/fs
// ext2.c and xfs.c, as of 2.06 and judged by grub-fstest. What newer versions
// learned (metadata_csum_seed, large_dir, bigtime, nrext64) the guest's own
// GRUB read before, and reads still.
var grubRejects = map[string][]string{
	"ext2": extRejects, "ext3": extRejects, "ext4": extRejects,
	"xfs": {"shared", "zoned", "zone_gaps"},
}

var extRejects = []string{"inline_data", "ea_inode", "casefold", "bigalloc", "dirdata", "compression", "journal_dev"}

// grubRejected is the feature of a filesystem that GRUB cannot read, or "".
func grubRejected(kind string, features []string) string {
	for _, feature := range features {
		old := kind == "xfs" && !slices.Contains(features, "crc")
		if slices.Contains(grubRejects[kind], feature) || old && feature == "ascii-ci" {
			return feature
		}
	}
	return ""
}

// grubLayer says why GRUB cannot read through a volume, by its kind: disk/lvm.c,
// disk/mdraid_linux.c, disk/luks2.c.
func grubLayer(l guest.Layer) string {
	switch {
	case l.Kind == "lvm" && (strings.HasPrefix(l.Type, "thin") || strings.HasPrefix(l.Type, "cache") || l.Type == "writecache" || l.Type == "vdo"):
		return "a logical volume of kind " + l.Type
	case l.Kind == "md" && l.Type == "linear":
		return "a linear array"
	}
	return ""
}

// grub: GRUB reads the menu, the kernel and the initramfs with drivers of its own,
// which know less than those of Linux.
func (c *checker) grub() {
	files := c.grubFiles()
	id, text := "grub-boot", "GRUB reads the menu, the kernel and the initramfs"
	var seen []string
	for _, p := range files {
		f := c.filesystemOf(p)
		if f == nil {
			continue
		}
		for _, l := range f.Layers {
			if why := grubLayer(l); why != "" {
				c.add(id, text, false, true, "%s is on %s, %s", p, l.Volume, why)
				return
			}
		}
		if feature := grubRejected(f.Type, f.Features); feature != "" {
			c.add(id, text, false, true, "%s is on %s, %s with %s", p, f.Volume, f.Type, feature)
			return
		}
		if f.Replayed {
			c.add(id, text, false, false, "the journal of %s holds changes that GRUB does not look for", f.Volume)
			return
		}
		if word := f.Type + " on " + f.Volume; !slices.Contains(seen, word) {
			seen = append(seen, word)
		}
	}
	if len(seen) > 0 {
		c.add(id, text, true, true, "%s", strings.Join(seen, ", "))
	}
}

// grubFiles are what GRUB reads to start by itself; none without GRUB.
func (c *checker) grubFiles() []string {
	var files []string
	for _, l := range c.facts.Loaders {
		if l.Kind == "grub2" && l.Installed {
			files = append(files, l.Config)
		}
	}
	if len(files) == 0 {
		return nil
	}
	for _, k := range c.facts.Kernels {
		if k.Version == c.first() {
			files = append(files, k.Image, k.Initramfs)
		}
	}
	return slices.DeleteFunc(files, func(p string) bool { return p == "" })
}

// filesystemOf is what a path of the tree lies on.
func (c *checker) filesystemOf(p string) *guest.Filesystem {
	volume := ""
	for dir := p; volume == "" && dir != "."; dir = path.Dir(dir) {
		for _, m := range c.facts.Mounts {
			if m.Path == dir {
				volume = m.Volume
			}
		}
		if dir == "/" {
			break
		}
	}
	for i := range c.facts.Filesystems {
		if c.facts.Filesystems[i].Volume == volume && volume != "" {
			return &c.facts.Filesystems[i]
		}
	}
	return nil
}
