package efi

import (
	"io"
	"path"
	"strings"
)

// Kind is what a program is.
type Kind string

const (
	Shim        Kind = "shim"          // starts grubx64.efi beside it, whose signature it checks
	MokManager  Kind = "mokmanager"    // shim's dialogue about keys
	Fallback    Kind = "shim-fallback" // shim's program that makes boot entries
	GRUB        Kind = "grub2"         //
	SystemdBoot Kind = "systemd-boot"  //
	UKI         Kind = "uki"           // a kernel with its initramfs and arguments
	Unknown     Kind = "unknown"       //
)

// Program is one EFI program.
type Program struct {
	Kind    Kind
	Arch    string // as `uname -m` says it: "x86_64"; empty for a machine that is not known
	Version string // of systemd-boot
	Signed  bool   // it carries a signature, whoever's that is
	Core    *Core  // of GRUB
}

// machines are those of the PE format, and the suffix that the UEFI specification
// gives them in names (3.5.1.1).
var machines = []struct {
	id           uint16
	arch, suffix string
}{
	{0x8664, "x86_64", "x64"}, {0x14c, "i386", "ia32"}, {0xaa64, "aarch64", "aa64"}, {0x1c2, "arm", "arm"},
	{0x5064, "riscv64", "riscv64"}, {0x6264, "loongarch64", "loongarch64"}, {0x200, "ia64", "ia64"},
}

// Suffix is how names of programs for an architecture end: "x64"; empty for one
// that UEFI does not know.
func Suffix(arch string) string {
	if arch == "i686" {
		arch = "i386"
	}
	for _, m := range machines {
		if m.arch == arch {
			return m.suffix
		}
	}
	return ""
}

// FallbackName is the program in \EFI\BOOT that firmware starts on a disk for which
// it has no boot entry: "BOOTX64.EFI" (UEFI specification, 3.5.1.1). Empty for an
// architecture that UEFI does not know.
func FallbackName(arch string) string {
	if s := Suffix(arch); s != "" {
		return "BOOT" + strings.ToUpper(s) + ".EFI"
	}
	return ""
}

// Read tells what a program is. name is its file's, which decides where its content
// says nothing. A file that is no EFI program is ondisk.ErrFormat.
func Read(r io.ReaderAt, size int64, name string) (Program, error) {
	p, err := open(r, size)
	if err != nil {
		return Program{}, err
	}
	out := Program{Signed: p.signed, Core: p.core()}
	for _, m := range machines {
		if m.id == p.coff.Machine {
			out.Arch = m.arch
		}
	}
	out.Kind, out.Version = p.kind(out.Core != nil, strings.ToLower(path.Base(name)))
	return out, nil
}

// kind decides by content, then by name.
func (p *program) kind(grub bool, name string) (kind Kind, version string) {
	if _, ok := p.section(".linux"); ok {
		return UKI, ""
	}
	if grub {
		return GRUB, ""
	}
	if magic := p.text(".sdmagic"); strings.Contains(magic, "systemd-boot ") {
		_, version, _ = strings.Cut(magic, "systemd-boot ")
		version, _, _ = strings.Cut(version, " ")
		return SystemdBoot, version
	}
	if _, ok := p.section(".vendor_cert"); ok {
		return Shim, ""
	}
	named := byName(name)
	if named == Unknown && strings.HasPrefix(name, "boot") && strings.Contains(p.text(".sbat"), "\nshim,") {
		return Shim, "" // in the place of the fallback
	}
	return named, ""
}

// byName knows how loaders are called.
func byName(name string) Kind {
	for _, k := range []struct {
		prefix string
		kind   Kind
	}{
		{"shim", Shim}, {"grub", GRUB}, {"systemd-boot", SystemdBoot},
		{"mm", MokManager}, {"mokmanager", MokManager}, {"fb", Fallback}, {"fallback", Fallback},
	} {
		if strings.HasPrefix(name, k.prefix) {
			return k.kind
		}
	}
	return Unknown
}
