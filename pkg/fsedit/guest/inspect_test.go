package guest_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// part is a partition of the one disk with files; typ without files has no driver.
func part(number int, typ, uuid string, files map[string]string) guest.Source {
	id := "sda" + string(rune('0'+number))
	s := guest.Source{Volume: volume.Volume{ID: id, Kind: "mbr", Number: number, Device: blockdev.FromBytes(nil)}, Ident: filesys.Ident{Type: typ, UUID: uuid}}
	if files != nil {
		v := &fsedittest.MemVolume{FS: fsedittest.NewMemFS(files), ID: s.Ident}
		s.Open = func() (filesys.Volume, filesys.FS, error) { return v, v.FS, nil }
	}
	return s
}

func root(name string, fstab string) map[string]string {
	return map[string]string{"etc/fstab": fstab, "bin": "-> usr/bin", "usr/bin/sh": "", "etc/os-release": "ID=" + name + "\nPRETTY_NAME=" + name + "\nVERSION_ID=1\n"}
}

func broken1(s guest.Source) guest.Source {
	s.Open = func() (filesys.Volume, filesys.FS, error) {
		return nil, nil, ondisk.Because(ondisk.ErrCorrupt, "bad superblock")
	}
	return s
}

func TestChooseRoot(t *testing.T) {
	home := map[string]string{"me/file": "x"}
	boot := map[string]string{"grub/menu.lst": "", "vmlinuz-1": ""}
	a, b := root("aaa", "UUID=a / ext4\n"), root("bbb", "UUID=b / ext4\n")
	for _, c := range []struct {
		name    string
		sources []guest.Source
		choose  string
		want    string
		err     error
		message string
	}{
		{"one", []guest.Source{part(1, "ext4", "h", home), part(2, "ext4", "a", a)}, "", "sda2", nil, ""},
		{"boot beside", []guest.Source{part(1, "ext2", "h", boot), part(2, "ext4", "a", a), part(3, "swap", "s", nil)}, "", "sda2", nil, ""},
		{"two", []guest.Source{part(1, "ext4", "a", a), part(2, "ext4", "b", b)}, "", "", ondisk.ErrAmbiguous, "sda1 (aaa), sda2 (bbb)"},
		{"two, by ID", []guest.Source{part(1, "ext4", "a", a), part(2, "ext4", "b", b)}, "sda2", "sda2", nil, ""},
		{"two, by device", []guest.Source{part(1, "ext4", "a", a), part(2, "ext4", "b", b)}, "/dev/xvda2", "sda2", nil, ""},
		{"two, by UUID", []guest.Source{part(1, "ext4", "a", a), part(2, "ext4", "b", b)}, "b", "sda2", nil, ""},
		{"copy", []guest.Source{part(1, "ext4", "x", a), part(2, "ext4", "a", a)}, "", "sda2", nil, ""},
		{"older one is no copy", []guest.Source{part(1, "ext4", "x", root("ccc", "UUID=a / ext4\n")), part(2, "ext4", "a", a)}, "", "", ondisk.ErrAmbiguous, ""},
		{"broken beside", []guest.Source{broken1(part(1, "ext4", "x", nil)), part(2, "ext4", "a", a)}, "", "sda2", nil, ""},
		{"missing", []guest.Source{part(1, "ext4", "a", a)}, "sda9", "", fs.ErrNotExist, "sda1 (ext4)"},
		{"no system there", []guest.Source{part(1, "ext4", "a", a), part(2, "ext4", "h", home)}, "sda2", "", fs.ErrNotExist, ""},
		{"no driver there", []guest.Source{part(1, "xfs", "x", nil)}, "sda1", "", ondisk.ErrUnsupported, "sda1 holds xfs"},
		{"none: xfs", []guest.Source{part(1, "ext4", "h", home), part(2, "xfs", "x", nil)}, "", "", ondisk.ErrUnsupported, "sda2 holds xfs"},
		{"none: LUKS", []guest.Source{part(1, "crypto_LUKS", "h", nil)}, "", "", ondisk.ErrEncrypted, "encrypted"},
		{"none: broken", []guest.Source{broken1(part(1, "ext4", "x", nil))}, "", "", ondisk.ErrCorrupt, "bad superblock"},
		{"none: Hurd", []guest.Source{part(1, "ext2", "x", map[string]string{"etc/fstab": "", "bin/sh": "", "hurd/console": ""})}, "", "", ondisk.ErrUnsupported, "GNU Hurd"},
		{"none", nil, "", "", ondisk.ErrUnsupported, "no system"},
	} {
		tree, facts, err := guest.Inspect(context.Background(), c.sources, guest.Options{Root: c.choose, Level: guest.Mounts})
		if err == nil && facts.Root == "" {
			_, err = tree.Stat("/etc")
		}
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v, not %v with %q", c.name, err, c.err, c.message)
		}
		if facts != nil && facts.Root != c.want {
			t.Errorf("%s: root %q, not %q", c.name, facts.Root, c.want)
		}
	}
}

// TestLazyMounts: reading a file opens no filesystem that the path does not lead
// into.
func TestLazyMounts(t *testing.T) {
	files := root("aaa", "UUID=a / ext4\nUUID=x /data xfs\nUUID=v /boot/efi vfat\n")
	tree, facts, err := guest.Inspect(context.Background(), []guest.Source{part(1, "ext4", "a", files), part(2, "xfs", "x", nil), part(3, "vfat", "v", nil)}, guest.Options{Level: guest.Mounts})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guest.ReadFile(tree, "/etc/fstab", 1<<20); err != nil {
		t.Error(err)
	}
	if _, err := tree.Stat("/data/x"); !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), "sda2 holds xfs") {
		t.Errorf("%v", err)
	}
	if want := []string{"/", "/boot/efi", "/data"}; !slices.Equal(tree.Mountpoints(), want) || len(facts.Warnings) != 0 {
		t.Errorf("%q, warnings %q", tree.Mountpoints(), facts.Warnings)
	}
}

// TestFull: the facts of a whole guest come together.
func TestFull(t *testing.T) {
	files := root("debian", "UUID=a / ext4\n/dev/xvda2 none swap sw\n")
	files["var/lib/dpkg/status"] = "Package: b\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\nDescription: x\n Package: no\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: a\nStatus: hold ok installed\nVersion: 2\nArchitecture: all\n"
	files["etc/selinux/config"] = "# SELINUX=x\nSELINUX=enforcing\n"
	files["etc/selinux/targeted/contexts/files/file_contexts"] = ""
	disk := make([]byte, 512)
	copy(disk[0x180:], "GRUB \x00Geom")
	disk[510], disk[511] = 0x55, 0xaa
	whole := guest.Source{Volume: volume.Volume{ID: "sda", Kind: "disk", Device: blockdev.FromBytes(disk)}}
	swap := part(2, "swap", "s", map[string]string{})
	swapVolume := &fsedittest.MemVolume{About: filesys.Info{Notices: []string{"holds the memory of a hibernated system"}}}
	swap.Open = func() (filesys.Volume, filesys.FS, error) { return swapVolume, nil, ondisk.ErrUnsupported }
	_, f, err := guest.Inspect(context.Background(), []guest.Source{whole, part(1, "ext4", "a", files), swap}, guest.Options{Level: guest.Full})
	if err != nil {
		t.Fatal(err)
	}
	if want := []guest.Package{{Name: "a", Version: "2", Arch: "all"}, {Name: "b", Version: "1:2-3", Arch: "amd64"}}; !slices.Equal(f.Packages, want) {
		t.Errorf("packages %+v", f.Packages)
	}
	if f.SELinux == nil || *f.SELinux != (guest.SELinux{Mode: "enforcing", Policy: "targeted", Config: "/etc/selinux/config"}) || !f.Firmware.BIOS || f.Firmware.UEFI || f.OS.Family != "debian" || len(f.Swaps) != 1 || f.Swaps[0].Volume != "sda2" {
		t.Errorf("%+v", f)
	}
	if f.Hibernated != "sda2" || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "hibernated") {
		t.Errorf("warnings %q", f.Warnings)
	}
}
