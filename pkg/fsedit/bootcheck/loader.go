package bootcheck

import (
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// loader: the firmware finds a loader, and the loader its configuration. A disk
// without boot code is started by the virtual machine itself, as a
// paravirtualized Xen guest always was.
func (c *checker) loader() {
	firmware := c.facts.Firmware
	if c.job.UEFI() {
		c.uefi()
		return
	}
	evidence := strings.Join(firmware.Evidence, "; ")
	if firmware.BIOS && firmware.UEFI && c.job.Firmware == "" {
		_, why := firmware.Choose()
		evidence = why + ": " + evidence
	}
	if !firmware.BIOS && !firmware.UEFI {
		c.add("firmware", "the virtual machine starts the kernel itself", len(c.facts.Kernels) > 0, true,
			"no boot code on the disks")
		return
	}
	c.add("firmware", "the firmware finds a boot loader", firmware.BIOS, true, "%s", evidence)
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

// uefi: firmware that has no boot entry of the guest starts the one program that
// has the fallback's name (UEFI specification, 3.5.1.1).
func (c *checker) uefi() {
	arch := c.facts.Arch()
	name := efi.FallbackName(arch)
	var programs []*guest.EFIProgram
	var searched []string
	for i := range c.facts.Firmware.ESPs {
		esp := &c.facts.Firmware.ESPs[i]
		searched = append(searched, esp.Volume)
		if p := esp.Fallback(arch); p != nil {
			programs = append(programs, p)
		}
	}
	text := "the firmware finds a boot loader"
	switch {
	case len(searched) == 0:
		c.add("firmware", text, false, true, "no EFI system partition can be read")
		return
	case len(programs) == 0:
		c.add("firmware", text, false, true, "EFI/BOOT/%s is not on %s", name, strings.Join(searched, " or "))
		return
	}
	p := programs[0]
	for _, other := range programs[1:] { // a disk whose program fails is passed over
		if p.Broken != "" && other.Broken == "" {
			p = other
		}
	}
	c.add("firmware", text, true, true, "%s %s", p, p.Path)
	if c.job.SecureBoot {
		c.add("secureboot", "Secure Boot lets the boot loader start", p.Signed, true, "%s %s", p, p.Path)
	}
	evidence := strings.Join(append([]string{p.Path}, p.Chain...), " -> ")
	if p.Broken != "" {
		evidence += ": " + p.Broken
	}
	c.add("loader", "the boot loader finds its configuration", p.Broken == "", true, "%s", evidence)
}
