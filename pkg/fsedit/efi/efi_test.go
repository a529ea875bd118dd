package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// pe is a program with sections, in the order of names and contents.
func pe(machine uint16, signed bool, sections ...string) []byte {
	p := make([]byte, 0x80)
	copy(p, "MZ")
	binary.LittleEndian.PutUint32(p[peOffset:], 0x80)
	optional := make([]byte, 240)
	binary.LittleEndian.PutUint16(optional, wideMagic)
	var table, content []byte
	at := 0x80 + coffSize + len(optional) + len(sections)/2*sectionSize
	for i := 0; i < len(sections); i += 2 {
		h := make([]byte, sectionSize)
		copy(h, sections[i])
		binary.LittleEndian.PutUint32(h[16:], uint32(len(sections[i+1])))
		binary.LittleEndian.PutUint32(h[20:], uint32(at+len(content)))
		table = append(table, h...)
		content = append(content, sections[i+1]...)
	}
	if signed {
		binary.LittleEndian.PutUint32(optional[144:], uint32(at))
		binary.LittleEndian.PutUint32(optional[148:], uint32(len(content)))
	}
	coff := make([]byte, coffSize)
	copy(coff, "PE\x00\x00")
	binary.LittleEndian.PutUint16(coff[4:], machine)
	binary.LittleEndian.PutUint16(coff[6:], uint16(len(sections)/2))
	binary.LittleEndian.PutUint16(coff[20:], uint16(len(optional)))
	return bytes.Join([][]byte{p, coff, optional, table, content}, nil)
}

const shimSBAT = "sbat,1,SBAT Version,sbat,1,https://example.org\nshim,4,UEFI shim,shim,1,https://example.org\n"

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		file string
		data []byte
		want Program
	}{
		{"shimx64.efi", pe(0x8664, true, ".sbat", shimSBAT), Program{Kind: Shim, Arch: "x86_64", Signed: true}},
		{"BOOTX64.EFI", pe(0x8664, true, ".sbat", shimSBAT), Program{Kind: Shim, Arch: "x86_64", Signed: true}},
		{"mmx64.efi", pe(0x8664, true, ".sbat", shimSBAT), Program{Kind: MokManager, Arch: "x86_64", Signed: true}},
		{"fbaa64.efi", pe(0xaa64, true, ".sbat", shimSBAT), Program{Kind: Fallback, Arch: "aarch64", Signed: true}},
		{"a.efi", pe(0x8664, false, ".text", "x", ".linux", "x"), Program{Kind: UKI, Arch: "x86_64"}},
		{"BOOTX64.EFI", pe(0x8664, false, ".sdmagic", "#### LoaderInfo: systemd-boot 252.1-1 ####\x00"), Program{Kind: SystemdBoot, Arch: "x86_64", Version: "252.1-1"}},
		{"grubia32.efi", pe(0x14c, false, ".text", "x"), Program{Kind: GRUB, Arch: "i386"}},
		{"bootmgfw.efi", pe(0x1234, false), Program{Kind: Unknown}},
	} {
		got, err := Read(bytes.NewReader(c.data), int64(len(c.data)), c.file)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, not %+v", c.file, got, err, c.want)
		}
	}
	for _, text := range []string{"", "MZ", "MZ" + string(make([]byte, 200)), "\x7fELF" + string(make([]byte, 200))} {
		if _, err := Read(bytes.NewReader([]byte(text)), int64(len(text)), "x"); !errors.Is(err, ondisk.ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestGRUB reads what GRUB's own program makes.
func TestGRUB(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "load.cfg")
	if err := os.WriteFile(script, []byte("search.fs_uuid u root\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want Core
	}{
		{[]string{"-p", "(,gpt2)/boot/grub"}, Core{Prefix: "(,gpt2)/boot/grub"}},
		{[]string{"-p", "/EFI/debian", "-c", script}, Core{Prefix: "/EFI/debian", Script: "search.fs_uuid u root\n"}},
		{[]string{"-p", ""}, Core{}},
	} {
		file := filepath.Join(dir, "grub.efi")
		testtool.Run(t, "grub-mkimage", append(c.args, "-O", "x86_64-efi", "-o", file, "part_gpt", "ext2", "normal", "search_fs_uuid")...)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(bytes.NewReader(data), int64(len(data)), "BOOTX64.EFI")
		if err != nil || got.Kind != GRUB || got.Core == nil || *got.Core != c.want || got.Arch != "x86_64" || got.Signed {
			t.Errorf("%v: %+v %+v, %v", c.args, got, got.Core, err)
		}
	}
}

func TestNames(t *testing.T) {
	for arch, want := range map[string]string{"x86_64": "BOOTX64.EFI", "i686": "BOOTIA32.EFI", "aarch64": "BOOTAA64.EFI", "s390x": ""} {
		if got := FallbackName(arch); got != want {
			t.Errorf("%s: %q", arch, got)
		}
	}
}

func TestLayout(t *testing.T) {
	if binary.Size(coffHeader{}) != coffSize || binary.Size(sectionHeader{}) != sectionSize {
		t.Error("sizes of the headers")
	}
}

func FuzzRead(f *testing.F) {
	mods := "mimg\x00\x00\x00\x00\x18\x00\x00\x00\x00\x00\x00\x00\x30\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x10\x00\x00\x00/EFI/x\x00\x00"
	f.Add(pe(0x8664, true, ".sbat", shimSBAT), "shimx64.efi")
	f.Add(pe(0x8664, false, "mods", mods), "grubx64.efi")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		Read(bytes.NewReader(data), int64(len(data)), name)
	})
}
