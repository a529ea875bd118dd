package bootcheck

import (
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// loader: the firmware finds a loader, and the loader its configuration. A disk
// without boot code is started by the virtual machine itself, as a
// paravirtualized Xen guest always was.
func (c *checker) loader() {
	firmware := c.facts.Firmware
	evidence := strings.Join(firmware.Evidence, "; ")
	if !firmware.BIOS && !firmware.UEFI {
		c.add("firmware", "the virtual machine starts the kernel itself", len(c.facts.Kernels) > 0, true,
			"no boot code on the disks")
		return
	}
	c.add("firmware", "the firmware finds a boot loader", true, true, "%s", evidence)
	pass, seen := false, "no configuration was found"
	for _, l := range c.facts.Loaders {
		if guest.IsFile(c.view, l.Config) {
			pass, seen = true, l.Config
			if l.Installed {
				break
			}
		}
	}
	c.add("loader", "the boot loader finds its configuration", pass, true, "%s", seen)
}
