package bootcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// root: the kernel's root= is the system's own root on the target. A kernel
// without an initramfs knows partitions, but no filesystems
// (Documentation/admin-guide/kernel-parameters.txt).
func (c *checker) root(k guest.Kernel, required bool) {
	id, text := "root:"+k.Version, "root= names the system's root"
	spec, ok := lastArg(k.Args, "root")
	if !ok {
		// A loader that is not read in full may tell it; nobody else can.
		loader := c.facts.Firmware.BIOS || c.facts.Firmware.UEFI
		c.add(id, text, k.Args == "" && loader, required, "no boot entry tells its root")
		return
	}
	found := edit.Resolve(c.facts, c.needs, spec)
	switch {
	case found == nil && mapped(spec) && !c.onLVM(c.facts.Root):
		c.add(id, text, true, required, "%s is found by name", spec)
	case found == nil:
		c.add(id, text, false, required, "%s is not there on the target", spec)
	case found.Volume != c.facts.Root:
		c.add(id, text, false, required, "%s is %s, the root is %s", spec, found.Volume, c.facts.Root)
	case k.Initramfs == "" && (strings.HasPrefix(spec, "UUID=") || strings.HasPrefix(spec, "LABEL=")):
		c.add(id, text, false, required, "%s needs an initramfs, and the kernel has none", spec)
	default:
		c.add(id, text, true, required, "%s is %s", spec, found.Volume)
	}
}

// onLVM reports whether a volume is a logical volume, whose names are known.
func (c *checker) onLVM(volume string) bool {
	for _, f := range c.facts.Filesystems {
		if f.Volume == volume && len(f.Layers) > 0 {
			return f.Layers[0].Kind == "lvm"
		}
	}
	return false
}

// mapped are names that do not depend on the disks' bus.
func mapped(spec string) bool {
	return strings.HasPrefix(spec, "/dev/mapper/") || strings.HasPrefix(spec, "/dev/md") ||
		strings.HasPrefix(spec, "ZFS=") ||
		strings.HasPrefix(spec, "/dev/") && strings.Count(spec, "/") == 3 && !strings.HasPrefix(spec, "/dev/cciss/")
}

// mounts: what fstab(5) mounts at the start is there. systemd waits for the rest
// and then stops the start.
func (c *checker) mounts() {
	entries := append(slices.Clone(c.facts.Mounts), c.facts.Swaps...)
	for _, m := range entries {
		if m.Line == 0 {
			continue
		}
		options := strings.Split(m.Options, ",")
		required := m.Path != "swap" && m.Type != "swap" && !slices.Contains(options, "noauto") && !slices.Contains(options, "nofail")
		found := edit.Resolve(c.facts, c.needs, m.Spec)
		seen := fmt.Sprintf("line %d: %s", m.Line, m.Spec)
		switch {
		case found != nil:
			seen += " is " + found.Volume
		case m.Volume != "" && !strings.HasPrefix(m.Spec, "/dev/disk/") && mapped(m.Spec):
			seen += " is " + m.Volume
		default:
			seen += " is not there on the target"
			required = required && m.Volume != "" // what is missing already was so on the source
			c.add("fstab:"+m.Path, "fstab finds "+m.Path, false, required, "%s", seen)
			continue
		}
		c.add("fstab:"+m.Path, "fstab finds "+m.Path, true, required, "%s", seen)
	}
}

// lastArg is the value of the last argument with a key: the one that counts.
func lastArg(args, key string) (string, bool) {
	value, ok := "", false
	for _, word := range strings.Fields(args) {
		if v, is := strings.CutPrefix(word, key+"="); is {
			value, ok = strings.Trim(v, `"`), true
		}
	}
	return value, ok
}
