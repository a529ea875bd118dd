package guest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
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
		switch loader := loaderInSector(v.Device); loader {
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

// findFirmware gathers what speaks for each firmware.
func findFirmware(v View, sources []Source, boot bootCode, f *Facts) Firmware {
	var out Firmware
	say := func(format string, args ...any) { out.Evidence = append(out.Evidence, fmt.Sprintf(format, args...)) }
	if boot.loader != "" {
		say("boot code of %s on %s", boot.loader, boot.where)
		out.BIOS = boot.loader != "unknown"
	}
	esp := false
	for _, s := range sources {
		switch t := s.Volume.Type; {
		case t == biosBootGPT:
			say("BIOS boot partition %s", s.Volume.ID)
		case t == espGPT, t == espMBR && s.Volume.Kind == "mbr":
			say("EFI system partition %s", s.Volume.ID)
			esp = true
		}
	}
	if esp {
		uses := efiUse(v, f)
		for _, u := range uses {
			say("%s", u)
		}
		out.UEFI = len(uses) > 0
	}
	return out
}

// efiUse is what the guest itself says about starting by UEFI. The partition
// alone says little: installers make it on any disk.
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

func splitLines(text string) []string { return strings.Split(text, "\n") }
