package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Partition types that firmware or its loaders look for: GPT types of the UEFI
// specification and of the GRUB manual, MBR type of the UEFI specification.
const (
	espGPT      = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	biosBootGPT = "21686148-6449-6e6f-744e-656564454649"
	espMBR      = "ef"
)

// bootCode is the loader that a BIOS would start, and where it was seen.
type bootCode struct {
	loader string // kind, as in Loader; "unknown" for code that is not recognised
	where  string // volume ID
}

// findBootCode looks at the first sector of each disk, and of its active
// partitions when that holds none of a loader that is known.
func findBootCode(sources []Source) bootCode {
	var unknown bootCode
	for _, s := range sources {
		v := s.Volume
		if v.Kind != "disk" && !v.Bootable || v.Kind == "gpt" {
			continue
		}
		loader := loaderInSector(v.Device)
		if loader == "grub2" && v.Kind == "disk" && !hasCore(v.Device) {
			loader = "unknown" // left behind
		}
		switch loader {
		case "":
		case "unknown":
			if unknown.loader == "" {
				unknown = bootCode{loader, v.ID}
			}
		default:
			return bootCode{loader, v.ID}
		}
	}
	return unknown
}

// loaderInSector recognises the code in a boot sector; "unknown" is what has the
// signature of one and no name, like the generic code of DOS.
func loaderInSector(dev blockdev.Device) string {
	p := make([]byte, 512)
	if n, _ := dev.ReadAt(p, 0); n < len(p) || p[510] != 0x55 || p[511] != 0xaa {
		return ""
	}
	code := p[:440]
	switch {
	case bytes.Contains(code, []byte("GRUB ")) || bytes.Contains(code, []byte("GRUB\x00")) || bytes.Contains(code, []byte("GRUB")):
		if p[0x3e] == 3 && p[0x3f] == 2 { // version of stage1's interface
			return "grub-legacy"
		}
		return "grub2"
	case string(p[6:10]) == "LILO" || string(p[2:6]) == "LILO":
		return "lilo"
	case string(p[3:11]) == "EXTLINUX":
		return "extlinux"
	case string(p[3:11]) == "SYSLINUX":
		return "syslinux"
	case bytes.Count(code, []byte{0}) == len(code):
		return ""
	}
	return "unknown"
}

// coreSector is where boot.img of GRUB 2 has the sector of the core that it loads:
// grub-core/boot/i386/pc/boot.S.
const coreSector = 0x5c

// hasCore reports whether something is where GRUB's boot code expects its core: a
// disk that was installed anew for UEFI may keep the code alone.
func hasCore(dev blockdev.Device) bool {
	p := make([]byte, 512)
	if err := ondisk.Full(dev, p[:8], coreSector); err != nil {
		return false
	}
	sector := binary.LittleEndian.Uint64(p)
	if sector == 0 { // of another layout than is known here
		return true
	}
	if sector >= uint64(dev.Size())/512 {
		return false
	}
	return ondisk.Full(dev, p, int64(sector)*512) == nil && !ondisk.IsZero(p)
}

// findFirmware gathers what speaks for each firmware.
func findFirmware(v View, sources []Source, boot bootCode, f *Facts) Firmware {
	out := Firmware{ESPs: f.Firmware.ESPs}
	say := func(format string, args ...any) { out.Evidence = append(out.Evidence, fmt.Sprintf(format, args...)) }
	if boot.loader != "" {
		say("boot code of %s on %s", boot.loader, boot.where)
		out.BIOS = boot.loader != "unknown"
	}
	unread := false
	for _, s := range sources {
		switch t := s.Volume.Type; {
		case t == biosBootGPT:
			say("BIOS boot partition %s", s.Volume.ID)
		case t == espGPT, t == espMBR && s.Volume.Kind == "mbr":
			say("EFI system partition %s", s.Volume.ID)
			unread = unread || !slices.ContainsFunc(out.ESPs, func(e ESP) bool { return e.Volume == s.Volume.ID })
		}
	}
	var uses []string
	for _, e := range out.ESPs {
		uses = append(uses, e.uses()...)
	}
	if len(uses) == 0 && unread {
		uses = efiUse(v, f)
	}
	for _, u := range uses {
		say("%s", u)
	}
	out.UEFI = len(uses) > 0
	if out.BIOS && out.UEFI && boot.loader == "grub2" && gptWithoutBoot(sources, boot.where) {
		say("no BIOS boot partition on %s: its boot code was left behind", boot.where)
		out.BIOS = false
	}
	return out
}

// gptWithoutBoot reports whether a disk has a GPT in which GRUB has no place for the
// core that a BIOS would start.
func gptWithoutBoot(sources []Source, disk string) bool {
	table := false
	for _, s := range sources {
		if v := s.Volume; v.Kind == "gpt" && v.Parent == disk {
			if table = true; v.Type == biosBootGPT {
				return false
			}
		}
	}
	return table
}

// uses are the loaders on the partition. The partition alone says little:
// installers make it on any disk.
func (e *ESP) uses() []string {
	var out []string
	for _, p := range e.Programs {
		if p.Loads() {
			out = append(out, fmt.Sprintf("%s %s", p, p.Path))
		}
	}
	return out
}

// String is what the program is: "signed shim for x86_64".
func (p EFIProgram) String() string {
	words := []string{string(p.Kind)}
	if p.Version != "" {
		words = append(words, p.Version)
	}
	if p.Signed {
		words = append([]string{"signed"}, words...)
	}
	if p.Arch != "" {
		words = append(words, "for "+p.Arch)
	}
	return strings.Join(words, " ")
}

// efiUse is what a guest says about starting by UEFI whose EFI system partition
// cannot be read.
func efiUse(v View, f *Facts) []string {
	var out []string
	for _, m := range f.Mounts {
		if m.Path == "/boot/efi" || m.Path == "/efi" {
			out = append(out, "fstab mounts "+m.Path)
		}
	}
	for _, dir := range []string{"/boot/efi", "/efi", "/boot"} {
		if list, err := v.ReadDir(dir + "/EFI"); err == nil && len(list) > 0 {
			out = append(out, dir+"/EFI is not empty")
		}
	}
	for _, p := range f.Packages {
		signed := p.Name == "shim-signed" || strings.HasPrefix(p.Name, "shim-")
		if signed || strings.HasPrefix(p.Name, "grub-efi-") && !strings.HasSuffix(p.Name, "-bin") || p.Name == "systemd-boot" {
			out = append(out, "package "+p.Name)
		}
	}
	return slices.Compact(out)
}

// Kinds of firmware, as libvirt calls them.
const (
	BIOS = "bios"
	UEFI = "efi"
)

// Choose is the firmware that starts the guest where nothing but its disks tells
// of it, and why: [BIOS], [UEFI], or neither when the disks can be started by none.
func (f Firmware) Choose() (kind, why string) {
	switch {
	case f.BIOS && f.UEFI:
		return BIOS, "the disks start by BIOS and by UEFI; BIOS needs nothing that is not on them"
	case f.BIOS:
		return BIOS, "the disks start by BIOS only"
	case f.UEFI:
		return UEFI, "the disks start by UEFI only"
	}
	return "", "no firmware can start the disks"
}

func splitLines(text string) []string { return strings.Split(text, "\n") }
