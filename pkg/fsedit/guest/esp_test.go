package guest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// chained follows the program at /boot/efi/EFI/x of a guest with files: the EFI
// system partition is sda1, /boot is sda2, and the root is the volume vg/root.
func chained(files map[string]string, p EFIProgram, others ...EFIProgram) EFIProgram {
	devices := NewDevices([]Filesystem{
		{Volume: "sda1", Number: 1, Type: "vfat", UUID: "AB-12"}, {Volume: "sda2", Number: 2, Type: "ext4", UUID: "boot-u", Label: "BOOT"},
		{Volume: "vg/root", Number: -1, Type: "xfs", UUID: "root-u", Names: []string{"/dev/mapper/vg-root"}},
	})
	mounts := []Mount{{Path: "/", Volume: "vg/root"}, {Path: "/boot", Volume: "sda2"}, {Path: "/boot/efi", Volume: "sda1"}}
	esp := &ESP{Volume: "sda1", Path: "/boot/efi", Programs: append([]EFIProgram{p}, others...)}
	c := chain{view: fixture(files), limit: testLimit, devices: devices, mounts: mounts, esp: esp}
	c.all()
	return esp.Programs[0]
}

const menu = "set default=0\nmenuentry x {\n\tlinux /vmlinuz\n}\n"

func TestChains(t *testing.T) {
	const dir = "/boot/efi/EFI/x/"
	grub := func(prefix, script string) EFIProgram {
		return EFIProgram{Path: dir + "grubx64.efi", Kind: efi.GRUB, Arch: "x86_64", Core: &efi.Core{Prefix: prefix, Script: script}}
	}
	shim := EFIProgram{Path: dir + "shimx64.efi", Kind: efi.Shim, Arch: "x86_64"}
	boot := EFIProgram{Path: "/boot/efi/EFI/BOOT/BOOTX64.EFI", Kind: efi.Shim, Arch: "x86_64"}
	maker := EFIProgram{Path: "/boot/efi/EFI/BOOT/fbx64.efi", Kind: efi.Fallback, Arch: "x86_64"}
	stub := "search.fs_uuid boot-u root hd0,gpt9\nset prefix=($root)'/grub2'\nconfigfile $prefix/grub.cfg\n"
	for _, c := range []struct {
		name   string
		files  map[string]string
		start  EFIProgram
		others []EFIProgram
		want   string
	}{
		{"stub", map[string]string{"boot/efi/EFI/x/grub.cfg": stub, "boot/grub2/grub.cfg": menu}, grub("/EFI/x", ""), nil,
			"/boot/efi/EFI/x/grub.cfg /boot/grub2/grub.cfg"},
		{"menu on the partition", map[string]string{"boot/efi/EFI/x/grub.cfg": menu}, grub("/EFI/x", ""), nil, "/boot/efi/EFI/x/grub.cfg"},
		{"stub of RHEL 9", map[string]string{"boot/efi/EFI/x/grub.cfg": "search --no-floppy --root-dev-only --fs-uuid --set=dev boot-u\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n",
			"boot/grub2/grub.cfg": "insmod blscfg\nblscfg\n"}, grub("/EFI/x", ""), nil, "/boot/efi/EFI/x/grub.cfg /boot/grub2/grub.cfg"},
		{"built-in script, /boot hidden", map[string]string{"boot/grub/grub.cfg": menu}, grub("/boot/grub", "search.fs_uuid root-u root \nset prefix=($root)'/boot/grub'\n"), nil,
			": no configuration is at (vg/root)/boot/grub"},
		{"built-in script, /boot apart", map[string]string{"boot/grub/grub.cfg": menu}, grub("/grub", "search.fs_label BOOT root \nset prefix=($root)'/grub'\n"), nil, "/boot/grub/grub.cfg"},
		{"partition of the same disk", map[string]string{"boot/grub/grub.cfg": menu}, grub("(,gpt2)/grub", ""), nil, "/boot/grub/grub.cfg"},
		{"logical volume", map[string]string{"etc/grub.cfg": menu}, grub("(lvm/vg-root)/etc", ""), nil, "/etc/grub.cfg"},
		{"beside itself", map[string]string{"boot/efi/EFI/x/grub.cfg": menu}, grub("", ""), nil, "/boot/efi/EFI/x/grub.cfg"},
		{"script in memory", map[string]string{"boot/efi/EFI/x/grub.cfg": menu}, grub("/EFI/debian", "normal (memdisk)/grub.cfg\n"), nil, "/boot/efi/EFI/x/grub.cfg"},
		{"filesystem is gone", map[string]string{"boot/efi/EFI/x/grub.cfg": strings.ReplaceAll(stub, "boot-u", "gone-u")}, grub("/EFI/x", ""), nil,
			"/boot/efi/EFI/x/grub.cfg: /boot/efi/EFI/x/grub.cfg leads to no menu: no filesystem gone-u is on the disks"},
		{"no configuration", nil, grub("/EFI/x", ""), nil, ": no configuration is at (sda1)/EFI/x"},
		{"itself", map[string]string{"boot/efi/EFI/x/grub.cfg": "configfile $prefix/grub.cfg\n"}, grub("/EFI/x", ""), nil, "/boot/efi/EFI/x/grub.cfg: /boot/efi/EFI/x/grub.cfg leads to no menu"},
		{"shim", map[string]string{"boot/efi/EFI/x/grub.cfg": menu}, shim, []EFIProgram{grub("/EFI/x", "")}, dir + "grubx64.efi /boot/efi/EFI/x/grub.cfg"},
		{"shim alone", nil, shim, nil, ": " + dir + "grubx64.efi is not there"},
		{"fallback of shim", map[string]string{"boot/efi/EFI/x/BOOTX64.CSV": "\xff\xfes\x00h\x00i\x00m\x00x\x006\x004\x00.\x00e\x00f\x00i\x00,\x00x\x00", "boot/efi/EFI/x/grub.cfg": menu},
			boot, []EFIProgram{maker, shim, grub("/EFI/x", "")}, maker.Path + " " + shim.Path + " " + dir + "grubx64.efi /boot/efi/EFI/x/grub.cfg"},
		{"fallback of shim without a list", nil, boot, []EFIProgram{maker, shim}, maker.Path + ": no vendor's list of boot entries is there for fbx64.efi"},
		{"systemd-boot", map[string]string{"boot/efi/loader/loader.conf": "default x\n", "boot/efi/loader/entries/x.conf": "linux /x\n"},
			EFIProgram{Kind: efi.SystemdBoot}, nil, "/boot/efi/loader/loader.conf /boot/efi/loader/entries"},
		{"systemd-boot, one image", nil, EFIProgram{Kind: efi.SystemdBoot}, []EFIProgram{{Path: "/boot/efi/EFI/Linux/x.efi", Kind: efi.UKI}}, "/boot/efi/EFI/Linux/x.efi"},
		{"systemd-boot, no entries", map[string]string{"boot/efi/loader/loader.conf": ""}, EFIProgram{Kind: efi.SystemdBoot}, nil,
			"/boot/efi/loader/loader.conf: no entries are in /boot/efi/loader/entries"},
	} {
		p := chained(c.files, c.start, c.others...)
		got := strings.Join(p.Chain, " ")
		if p.Broken != "" {
			got += ": " + p.Broken
		}
		if got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// TestPrivateMounts: a place that the guest does not have is found, and not listed.
func TestPrivateMounts(t *testing.T) {
	root, esp := fixture(map[string]string{"etc/x": "x"}), fixture(map[string]string{"EFI/x": "y"})
	tree := NewTree([]Mounted{{Path: "/", Open: root.mounts["/"].Open}, {Path: freePlace(root, "md/esp"), Open: esp.mounts["/"].Open, Private: true}})
	if text, err := ReadFile(tree, "/efi-md-esp/EFI/x", 10); err != nil || string(text) != "y" {
		t.Errorf("%q, %v", text, err)
	}
	list, err := tree.ReadDir("/")
	if err != nil || len(list) != 1 || list[0].Name != "etc" {
		t.Errorf("%v, %v", list, err)
	}
	for path, files := range map[string]map[string]string{"/boot/efi": {"boot/efi/": ""}, "/efi": {"boot/efi/x": "", "efi/": ""}} {
		if got := freePlace(fixture(files), "sda1"); got != path {
			t.Errorf("%q, not %q", got, path)
		}
	}
}

func FuzzChain(f *testing.F) {
	f.Add("search.fs_uuid boot-u root\nset prefix=($root)/grub\nconfigfile $prefix/grub.cfg", "set a=$a$a\nsource /EFI/x/grub.cfg\nnormal", "(,gpt2)/x")
	f.Fuzz(func(t *testing.T, stub, next, prefix string) {
		p := chained(map[string]string{"boot/efi/EFI/x/grub.cfg": stub, "boot/grub/grub.cfg": next},
			EFIProgram{Path: "/boot/efi/EFI/x/grubx64.efi", Kind: efi.GRUB, Arch: "x86_64", Core: &efi.Core{Prefix: prefix, Script: next}})
		if len(p.Chain) > maxSteps || slices.Contains(p.Chain, "") {
			t.Errorf("%q", p.Chain)
		}
	})
}

// memPart is a partition of the one disk with files.
func memPart(number int, typ, uuid string, files map[string]string) Source {
	v := &fsedittest.MemVolume{FS: fsedittest.NewMemFS(files), ID: filesys.Ident{Type: typ, UUID: uuid}}
	return Source{
		Volume: volume.Volume{ID: fmt.Sprintf("sda%d", number), Kind: "mbr", Number: number, Device: blockdev.FromBytes(nil)}, Ident: v.ID,
		Open: func() (filesys.Volume, filesys.FS, error) { return v, v.FS, nil },
	}
}

// peFile is the least that counts as an EFI program for x86_64, with one section.
func peFile(section, content string) string {
	p := make([]byte, 0x200)
	copy(p, "MZ")
	p[0x3c] = 0x40
	copy(p[0x40:], "PE\x00\x00\x64\x86\x01")
	p[0x40+20] = 112                       // optional header
	p[0x40+24], p[0x40+25] = 0x0b, 2       // PE32+
	copy(p[0x40+24+112:], section)         // name
	p[0x40+24+112+16] = byte(len(content)) // size
	p[0x40+24+112+21] = 2                  // place: 0x200
	return string(p) + content
}

// TestSystemdBoot: a kernel, its initramfs and its arguments lie on the EFI system
// partition, which fstab does not mount.
func TestSystemdBoot(t *testing.T) {
	esp := memPart(1, "vfat", "AB-12", map[string]string{
		"EFI/systemd/systemd-bootx64.efi": peFile(".sdmagic", "#### LoaderInfo: systemd-boot 252 ####"),
		"EFI/BOOT/BOOTX64.EFI":            peFile(".sdmagic", "#### LoaderInfo: systemd-boot 252 ####"),
		"EFI/Linux/debian.efi":            peFile(".linux", "x"),
		"EFI/x/notes.efi":                 "no program",
		"loader/loader.conf":              "timeout 3\ndefault m-*\n",
		"loader/entries/m-6.1.0.conf":     "title Debian\nlinux /m/6.1.0/linux\ninitrd /m/6.1.0/initrd\noptions root=UUID=a ro\n",
		"m/6.1.0/linux":                   bzImage("6.1.0"),
		"m/6.1.0/initrd":                  "cpio",
	})
	esp.Volume.Type = espMBR
	files := map[string]string{"etc/fstab": "UUID=a / ext4\n", "bin": "-> usr/bin", "usr/bin/sh": "", "boot/efi/": "", "lib/modules/6.1.0/modules.dep": "x:", "lib/modules/6.1.0/kernel/": ""}
	tree, f, err := Inspect(t.Context(), []Source{esp, memPart(2, "ext4", "a", files)}, Options{Level: Full})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := ReadFile(tree, "/boot/efi/EFI/x/notes.efi", 100); err != nil || string(text) != "no program" {
		t.Errorf("%q, %v", text, err)
	}
	if len(f.Firmware.ESPs) != 1 || len(f.Firmware.ESPs[0].Programs) != 3 || !f.Firmware.UEFI || f.Firmware.BIOS {
		t.Fatalf("%+v", f.Firmware)
	}
	p := f.Firmware.ESPs[0].Fallback("x86_64")
	if p == nil || p.Kind != efi.SystemdBoot || p.Version != "252" || p.Broken != "" {
		t.Errorf("%+v", p)
	}
	if len(f.Loaders) != 1 || f.Loaders[0].Kind != "systemd-boot" || !f.Loaders[0].Installed {
		t.Errorf("%+v", f.Loaders)
	}
	const want = `6.1.0 modules=/lib/modules/6.1.0 image=/boot/efi/m/6.1.0/linux initramfs=/boot/efi/m/6.1.0/initrd arch=x86_64 args="root=UUID=a ro" default=true xen=false entries=1
`
	if got := describe(f.Kernels); got != want {
		t.Errorf("%s not %s", got, want)
	}
}

func TestChoose(t *testing.T) {
	for want, f := range map[string]Firmware{BIOS: {BIOS: true}, UEFI: {UEFI: true}, "": {}} {
		if kind, why := f.Choose(); kind != want || why == "" {
			t.Errorf("%+v: %q", f, kind)
		}
	}
	if kind, why := (Firmware{BIOS: true, UEFI: true}).Choose(); kind != BIOS || !strings.Contains(why, "UEFI") {
		t.Errorf("%q %q", kind, why)
	}
}

// TestHybrid: a disk of GPT starts by BIOS as well where it has a place for GRUB.
func TestHybrid(t *testing.T) {
	f := &Facts{Firmware: Firmware{ESPs: []ESP{{Volume: "sda1", Programs: []EFIProgram{{Path: "/boot/efi/EFI/x/grubx64.efi", Kind: efi.GRUB}}}}}}
	sources := []Source{
		{Volume: volume.Volume{ID: "sda", Kind: "disk"}}, {Volume: volume.Volume{ID: "sda1", Kind: "gpt", Parent: "sda", Type: espGPT}},
		{Volume: volume.Volume{ID: "sda2", Kind: "gpt", Parent: "sda", Type: biosBootGPT}},
	}
	code := bootCode{loader: "grub2", where: "sda"}
	if got := findFirmware(fixture(nil), sources, code, f); !got.BIOS || !got.UEFI {
		t.Errorf("%+v", got)
	}
	if got := findFirmware(fixture(nil), sources[:2], code, f); got.BIOS || !got.UEFI {
		t.Errorf("without a BIOS boot partition: %+v", got)
	}
}

// TestLeftBootCode: boot code of GRUB without the core that it loads starts nothing.
func TestLeftBootCode(t *testing.T) {
	disk := make([]byte, 64<<10)
	copy(disk[0x180:], "GRUB ")
	disk[510], disk[511], disk[coreSector] = 0x55, 0xaa, 34
	source := Source{Volume: volume.Volume{ID: "sda", Kind: "disk", Device: blockdev.FromBytes(disk)}}
	if got := findBootCode([]Source{source}); got.loader != "unknown" {
		t.Errorf("%+v without a core", got)
	}
	disk[34*512] = 0x52
	if got := findBootCode([]Source{source}); got.loader != "grub2" {
		t.Errorf("%+v with a core", got)
	}
	disk[coreSector] = 200
	if got := findBootCode([]Source{source}); got.loader != "unknown" {
		t.Errorf("%+v with a core behind the disk", got)
	}
}
