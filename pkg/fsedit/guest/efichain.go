package guest

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf16"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
)

// chain follows what the programs of one EFI system partition lead to.
type chain struct {
	view    View
	limit   int64
	devices *Devices
	mounts  []Mount
	esp     *ESP
	disk    int // that it lies on
	scripts int // that were read
	steps   int // commands that were run
}

// maxSteps is more files than any guest has between the firmware and a menu.
const maxSteps = 16

// Bounds of the work that hostile scripts can make: files, commands, bytes of a
// script and of a word.
const (
	maxScripts = 128
	maxRun     = 20_000
	maxScript  = 1 << 20
	maxWord    = 4096
)

func (c *chain) all() {
	for i := range c.esp.Programs {
		p := &c.esp.Programs[i]
		p.Chain, p.Broken = c.follow(p, maxSteps)
	}
}

// follow is the way from a program to a menu, or as far as it goes.
func (c *chain) follow(p *EFIProgram, steps int) (files []string, broken string) {
	switch {
	case steps == 0:
		return nil, "the loaders start each other"
	case p.Kind == efi.Shim:
		return c.shim(p, steps-1)
	case p.Kind == efi.GRUB && p.Core != nil:
		g := newGRUB(c, p)
		return g.start(p.Core)
	case p.Kind == efi.SystemdBoot:
		return c.systemdBoot()
	}
	return nil, ""
}

// program is what was read of a file, or nil.
func (c *chain) program(file string) *EFIProgram {
	for i := range c.esp.Programs {
		if strings.EqualFold(c.esp.Programs[i].Path, file) {
			return &c.esp.Programs[i]
		}
	}
	return nil
}

// next goes on with a program of the partition.
func (c *chain) next(file string, steps int) ([]string, string) {
	p := c.program(file)
	if p == nil {
		return nil, file + " is not there"
	}
	files, broken := c.follow(p, steps)
	return append([]string{p.Path}, files...), broken
}

// shim starts GRUB beside it; as the fallback it first looks for a program that
// makes boot entries of the lists that vendors leave (shim's README.fallback).
func (c *chain) shim(p *EFIProgram, steps int) ([]string, string) {
	dir, suffix := path.Dir(p.Path), efi.Suffix(p.Arch)
	boot := strings.EqualFold(path.Base(dir), "BOOT") && strings.HasPrefix(strings.ToLower(path.Base(p.Path)), "boot")
	if maker := c.program(dir + "/fb" + suffix + ".efi"); boot && maker != nil {
		listed := c.listed(path.Dir(dir), strings.TrimSuffix(efi.FallbackName(p.Arch), ".EFI")+".CSV")
		if listed == "" {
			return []string{maker.Path}, "no vendor's list of boot entries is there for " + path.Base(maker.Path)
		}
		files, broken := c.next(listed, steps)
		return append([]string{maker.Path}, files...), broken
	}
	return c.next(dir+"/grub"+suffix+".efi", steps)
}

// listed is the program of the first vendor's list: UTF-16, "file,label,options,".
func (c *chain) listed(base, name string) string {
	vendors, err := c.view.ReadDir(base)
	if err != nil {
		return ""
	}
	for _, d := range vendors {
		list := Child(c.view, join(base, d.Name), name)
		if list == "" {
			continue
		}
		text, err := ReadFile(c.view, list, c.limit)
		if err != nil {
			continue
		}
		if file, _, ok := strings.Cut(fromUTF16(text), ","); ok {
			return join(join(base, d.Name), strings.TrimSpace(file))
		}
	}
	return ""
}

// fromUTF16 decodes little-endian text, with or without a mark; other text stays.
func fromUTF16(p []byte) string {
	if len(p) < 2 || p[1] != 0 && (p[0] != 0xff || p[1] != 0xfe) {
		return string(p)
	}
	units := make([]uint16, 0, len(p)/2)
	for i := 0; i+1 < len(p); i += 2 {
		units = append(units, uint16(p[i])|uint16(p[i+1])<<8)
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
}

// systemdBoot shows the entries on its own partition and on the extended one,
// which Linux has as /boot (systemd-boot(7)).
func (c *chain) systemdBoot() (files []string, broken string) {
	for _, p := range []string{c.esp.Path + "/loader/loader.conf", c.esp.Path + "/loader/entries", "/boot/loader/entries"} {
		if list, err := c.view.ReadDir(p); IsFile(c.view, p) || err == nil && len(list) > 0 {
			files = append(files, p)
		}
	}
	for _, p := range c.esp.Programs {
		if p.Kind == efi.UKI && strings.EqualFold(path.Base(path.Dir(p.Path)), "Linux") {
			files = append(files, p.Path)
		}
	}
	if len(files) == 0 || len(files) == 1 && strings.HasSuffix(files[0], ".conf") {
		return files, fmt.Sprintf("no entries are in %s/loader/entries", c.esp.Path)
	}
	return files, ""
}
