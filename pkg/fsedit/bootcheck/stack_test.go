package bootcheck

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// server is a guest whose root is XFS on LVM, with ext4 /boot beside.
func server() *system {
	s := good()
	s.facts.Root = "vg/root"
	s.facts.Kernels[0].Args = "root=/dev/mapper/vg-root ro"
	s.facts.Filesystems = []guest.Filesystem{
		{Volume: "sda1", Number: 1, Type: "ext4", UUID: "u1"},
		{Volume: "sda2", Number: 2, Type: "LVM2_member", UUID: "Aaaaaa-1111-2222-3333-4444-5555-666666"},
		{Volume: "vg/root", Number: -1, Type: "xfs", UUID: "u2", Names: []string{"/dev/mapper/vg-root", "/dev/vg/root"},
			Layers: []guest.Layer{{Kind: "lvm", Volume: "vg/root", Type: "striped", Members: []string{"sda2"}}}},
	}
	s.facts.Mounts = []guest.Mount{
		{Path: "/", Volume: "vg/root", Spec: "/dev/vg/root", Type: "xfs", Line: 1},
		{Path: "/boot", Volume: "sda1", Spec: "UUID=u1", Type: "ext4", Line: 2},
	}
	s.image["modules.dep"] = "virtio_blk.ko:\nxfs.ko: libcrc32c.ko\nlibcrc32c.ko:\ncrc32c_generic.ko:\ndm-mod.ko:\n"
	s.image["modules.alias"] += "alias crypto-crc32c crc32c_generic\n"
	for _, name := range []string{"xfs.ko", "libcrc32c.ko", "crc32c_generic.ko", "dm-mod.ko", "/sbin/lvm", "/scripts/local-block/lvm2"} {
		s.image[name] = "x"
	}
	dir := "/lib/modules/" + version
	s.files[dir+"/modules.dep"] = s.image["modules.dep"] + "dm-raid.ko:\nraid1.ko:\nmd-mod.ko:\ndm-crypt.ko:\n"
	s.files[dir+"/modules.alias"] = s.image["modules.alias"]
	return s
}

// encrypt puts LUKS below the volume group.
func encrypt(s *system) {
	root := &s.facts.Filesystems[2]
	root.Layers[0].Members = []string{"luks-u"}
	root.Layers = append(root.Layers, guest.Layer{Kind: "luks", Volume: "luks-u", UUID: "1-2", Members: []string{"sda3"}})
	s.facts.Filesystems = append(s.facts.Filesystems, guest.Filesystem{Volume: "sda3", Number: 3, Type: "crypto_LUKS", UUID: "1-2"})
	dir := "/lib/modules/" + version
	const modules = "dm-crypt.ko:\nxts.ko:\naes_generic.ko:\n"
	s.image["modules.dep"] += modules
	s.files[dir+"/modules.dep"] += modules
	aliases := "alias crypto-aes aes_generic\nalias crypto-xts xts\nalias crypto-cbc cbc\n"
	s.image["modules.alias"] += aliases
	s.files[dir+"/modules.alias"] += aliases
	s.files[dir+"/modules.dep"] += "cbc.ko:\n"
	for _, name := range []string{"dm-crypt.ko", "xts.ko", "aes_generic.ko", "/sbin/cryptsetup", "/scripts/local-top/cryptroot"} {
		s.image[name] = "x"
	}
	s.image["/cryptroot/crypttab"] = "luks-u UUID=1-2 none luks,initramfs\n"
}

func TestStack(t *testing.T) {
	root := func(s *system) *guest.Filesystem { return &s.facts.Filesystems[2] }
	for _, test := range []struct {
		name   string
		change func(s *system)
		want   string
	}{
		{"good", func(s *system) {}, ""},
		{"other name", func(s *system) { s.facts.Kernels[0].Args = "root=/dev/vg/root" }, ""},
		{"another volume", func(s *system) { s.facts.Kernels[0].Args = "root=/dev/mapper/vg-other" }, "root:6.1.0"},
		{"no device-mapper", func(s *system) { delete(s.image, "dm-mod.ko") }, "lvm:6.1.0"},
		{"no lvm", func(s *system) { delete(s.image, "/sbin/lvm") }, "lvm:6.1.0"},
		{"nothing runs lvm", func(s *system) { delete(s.image, "/scripts/local-block/lvm2") }, "lvm:6.1.0"},
		{"no checksums", func(s *system) { delete(s.image, "crc32c_generic.ko") }, "rootfs:6.1.0"},
		{"raid1", func(s *system) { root(s).Layers[0].Type = "raid1" }, "lvm:6.1.0"},
		{"no initramfs", func(s *system) { s.facts.Kernels[0].Initramfs = "" }, "drivers:6.1.0 lvm:6.1.0 rootfs:6.1.0"},
		{"volume named", func(s *system) { s.facts.Kernels[0].Args += " rd.lvm.lv=vg/swap rd.lvm.lv=vg/root" }, ""},
		{"group named", func(s *system) { s.facts.Kernels[0].Args += " rd.lvm.vg=vg" }, ""},
		{"other volumes named", func(s *system) { s.image["/etc/cmdline.d/90lvm.conf"] = " rd.lvm.lv=vg/swap \n" }, "lvm:6.1.0"},
		{"switched off", func(s *system) { s.facts.Kernels[0].Args += " rd.lvm=0" }, "lvm:6.1.0"},
		{"filter", func(s *system) { s.files["/etc/lvm/lvm.conf"] = `filter = [ "a|^/dev/xvd|", "r|.*|" ]` }, "lvm"},
		{"filter in the image", func(s *system) { s.image["/etc/lvm/lvm.conf"] = `filter = [ "a|^/dev/xvd|", "r|.*|" ]` }, "lvm:6.1.0"},
		{"devices", func(s *system) {
			s.files["/etc/lvm/devices/system.devices"] = "IDTYPE=devname IDNAME=/dev/xvda2 DEVNAME=/dev/xvda2 PVID=Aaaaaa11112222333344445555666666\n"
		}, "lvm"},
		{"array", func(s *system) {
			root(s).Layers = append(root(s).Layers, guest.Layer{Kind: "md", Volume: "md0", Type: "raid1", UUID: "1:2:3:4"})
		}, "md:6.1.0"},
		{"encryption", encrypt, ""},
		{"no driver for encryption", func(s *system) { encrypt(s); delete(s.image, "dm-crypt.ko") }, "luks:6.1.0"},
		{"no cipher", func(s *system) { encrypt(s); delete(s.image, "xts.ko") }, "luks:6.1.0"},
		{"another volume is unlocked", func(s *system) { encrypt(s); s.image["/cryptroot/crypttab"] = "x UUID=u1 none luks\n" }, "luks:6.1.0"},
		{"thin /boot", func(s *system) {
			s.facts.Filesystems[0].Layers = []guest.Layer{{Kind: "lvm", Volume: "vg/boot", Type: "thin"}}
		}, "grub-boot"},
		{"/boot with bigalloc", func(s *system) { s.facts.Filesystems[0].Features = []string{"extent", "bigalloc"} }, "grub-boot"},
		{"no GRUB", func(s *system) {
			s.facts.Loaders[0].Kind = "extlinux"
			s.facts.Filesystems[0].Features = []string{"bigalloc"}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := server()
			test.change(s)
			got := strings.Fields(s.failed(t))
			slices.Sort(got)
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("fails by %q, want %q", got, test.want)
			}
		})
	}
}

func TestUEFI(t *testing.T) {
	for _, test := range []struct {
		name     string
		firmware guest.Firmware
		want     string
	}{
		{"fallback", guest.Firmware{UEFI: true, ESPs: []guest.ESP{{Volume: "sda1", Path: "/boot/efi", Programs: []guest.EFIProgram{
			{Path: "/boot/efi/EFI/Boot/bootx64.efi", Kind: efi.GRUB, Arch: "x86_64", Chain: []string{"/boot/grub/grub.cfg"}},
		}}}}, ""},
		{"secure, signed", guest.Firmware{UEFI: true, ESPs: []guest.ESP{{Volume: "sda1", Path: "/boot/efi", Programs: []guest.EFIProgram{
			{Path: "/boot/efi/EFI/BOOT/BOOTX64.EFI", Kind: efi.Shim, Arch: "x86_64", Signed: true},
		}}}}, ""},
		{"secure, not signed", guest.Firmware{UEFI: true, ESPs: []guest.ESP{{Volume: "sda1", Path: "/boot/efi", Programs: []guest.EFIProgram{
			{Path: "/boot/efi/EFI/BOOT/BOOTX64.EFI", Kind: efi.GRUB, Arch: "x86_64"},
		}}}}, "secureboot"},
		{"broken", guest.Firmware{UEFI: true, ESPs: []guest.ESP{{Volume: "sda1", Path: "/boot/efi", Programs: []guest.EFIProgram{
			{Path: "/boot/efi/EFI/BOOT/BOOTX64.EFI", Kind: efi.Shim, Arch: "x86_64", Broken: "grubx64.efi is not there"},
		}}}}, "loader"},
		{"vendor only", guest.Firmware{UEFI: true, ESPs: []guest.ESP{{Volume: "sda1", Path: "/boot/efi", Programs: []guest.EFIProgram{
			{Path: "/boot/efi/EFI/debian/grubx64.efi", Kind: efi.GRUB, Arch: "x86_64"},
		}}}}, "firmware"},
		{"not readable", guest.Firmware{UEFI: true}, "firmware"},
		{"both", guest.Firmware{BIOS: true, UEFI: true, Evidence: []string{"x"}}, ""},
	} {
		s := good()
		s.facts.Firmware, s.facts.OS.Arch = test.firmware, "x86_64"
		s.secure = strings.HasPrefix(test.name, "secure")
		if got := s.failed(t); got != test.want {
			t.Errorf("%s: fails by %q, want %q", test.name, got, test.want)
		}
	}
}
