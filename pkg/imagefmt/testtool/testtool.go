// Package testtool runs the programs that judge our output in tests. A program
// that is missing fails the test: a check that nobody sees being skipped is no
// check. Only tests import it.
package testtool

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// packages maps a program to the Debian package that brings it.
var packages = map[string]string{
	"qemu-img":           "qemu-utils",
	"qemu-io":            "qemu-utils",
	"qemu-nbd":           "qemu-utils",
	"qemu-system-x86_64": "qemu-system-x86",
	"e2fsck":             "e2fsprogs",
	"mke2fs":             "e2fsprogs",
	"debugfs":            "e2fsprogs",
	"tune2fs":            "e2fsprogs",
	"chattr":             "e2fsprogs",
	"mount":              "mount",
	"losetup":            "mount",
	"sfdisk":             "fdisk",
	"sgdisk":             "gdisk",
	"cpio":               "cpio",
	"depmod":             "kmod",
	"modprobe":           "kmod",
	"modinfo":            "kmod",
	"zstd":               "zstd",
	"lz4":                "lz4",
	"xz":                 "xz-utils",
	"vhdiinfo":           "libvhdi-utils",
	"vmdkinfo":           "libvmdk-utils",
	"qcowinfo":           "libqcow-utils",
	"tar":                "tar",
	"python3":            "python3",
	"sha1sum":            "coreutils",
	"sha256sum":          "coreutils",
	"xva-img":            "xva-img",
	"xxhsum":             "xxhash",
	"nbdkit":             "nbdkit",
	"nbdcopy":            "libnbd-bin",
	"7z":                 "7zip",
	"7zz":                "7zip",
	"strace":             "strace",
	"time":               "time",
	"file":               "file",
	"setfattr":           "attr",
	"getfattr":           "attr",
	"setfacl":            "acl",
	"getfacl":            "acl",
	"grub-fstest":        "grub-common",
	"grub-editenv":       "grub-common",
	"grub-mkconfig":      "grub-common",
	"mkinitramfs":        "initramfs-tools-core",
	"unmkinitramfs":      "initramfs-tools-core",
	"gzip":               "gzip",
	"bzip2":              "bzip2",
	"grub-script-check":  "grub-common",
	"virt-inspector":     "libguestfs-tools",
	"virt-v2v":           "virt-v2v",
	"xmllint":            "libxml2-utils",
	"virt-xml-validate":  "libvirt-clients",
	"xfs_io":             "xfsprogs",
	"xfs_db":             "xfsprogs",
	"xfs_repair":         "xfsprogs",
	"xfs_freeze":         "xfsprogs",
	"xfs_logprint":       "xfsprogs",
	"busybox":            "busybox-static",
	"setpriv":            "util-linux",
	"prlimit":            "util-linux",
	"blkid":              "util-linux",
	"mkswap":             "util-linux",
	"mkfs.xfs":           "xfsprogs",
	"mkfs.btrfs":         "btrfs-progs",
	"mkfs.vfat":          "dosfstools",
	"fsck.fat":           "dosfstools",
	"mcopy":              "mtools",
	"mdir":               "mtools",
	"mtype":              "mtools",
	"mmd":                "mtools",
	"mattrib":            "mtools",
	"mlabel":             "mtools",
	"mkfs.ntfs":          "ntfs-3g",
	"mkfs.exfat":         "exfatprogs",
	"mkfs.f2fs":          "f2fs-tools",
	"cryptsetup":         "cryptsetup-bin",
	"lvm":                "lvm2",
	"mdadm":              "mdadm",
	"mksquashfs":         "squashfs-tools",
	"xorriso":            "xorriso",
	"genisoimage":        "genisoimage",
	"bsdtar":             "libarchive-tools",
	"mknod":              "coreutils",
	"mkfifo":             "coreutils",
	"journalctl":         "systemd",
	"dracut":             "dracut-core",
	"grub-mkimage":       "grub-common",
	"matchpathcon":       "selinux-utils",
}

// Need fails the test unless every named program is installed.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test needs %s: run scripts/setup, or install the Debian package %s", tool, packages[tool])
		}
	}
}

// Run runs a program that must succeed, and returns what it printed.
func Run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	out, err := Try(t, tool, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return out
}

// Try runs a program that may fail, and returns what it printed on both streams.
func Try(t testing.TB, tool string, args ...string) (string, error) {
	t.Helper()
	Need(t, tool)
	cmd := exec.Command(tool, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
