//go:build linux

package edit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// makeDracut has dracut make the image of a guest whose root is XFS on LVM, with
// Xen's drivers only, and what it adds for one host: arguments, copies of settings,
// devices to wait for. Before it lies an archive of microcode.
func makeDracut(t *testing.T, version string) []byte {
	t.Helper()
	testtool.Need(t, "dracut", "cpio")
	dir := t.TempDir()
	add := folder(filepath.Join(dir, "add"))
	add.put(t, "etc/cmdline.d/95root-dev.conf", " root=/dev/xvda1 rootfstype=ext4 resume=/dev/xvda2 rd.lvm.lv=vg/root\n")
	add.put(t, "etc/lvm/lvm.conf", "devices {\n\tglobal_filter = [ \"a|^/dev/xvd|\", \"r|.*|\" ]\n}\n")
	add.put(t, "etc/lvm/devices/system.devices", "VERSION=1.1.2\nIDTYPE=devname IDNAME=/dev/xvda3 DEVNAME=/dev/xvda3 PVID=Aaaaaa11112222333344445555666666 PART=3\n")
	add.put(t, `usr/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fxvda2.sh`, "[ -e \"/dev/xvda2\" ]\n")
	add.put(t, `usr/lib/dracut/hooks/emergency/80-\x2fdev\x2fxvdq1.sh`, "[ -e \"/dev/xvdq1\" ] || warn \"\\\"/dev/xvdq1\\\" does not exist\"\n")
	add.put(t, "etc/systemd/system/initrd.target.wants/dev-xvda2.device -> ../dev-xvda2.device", "")
	add.put(t, `etc/systemd/system/initrd.target.wants/dev-disk-by\x2duuid-1.device -> ../dev-disk-by\x2duuid-1.device`, "")
	for _, device := range []string{"dev-xvda2", `dev-disk-by\x2duuid-1`} { // equal files, which dracut makes one
		add.put(t, "etc/systemd/system/"+device+".device.d/timeout.conf", forever)
	}
	image := filepath.Join(dir, "initramfs.img")
	testtool.Run(t, "dracut", "--quiet", "--force", "--no-hostonly", "--kver", version, "--no-early-microcode", "--nostrip",
		"--modules", "base lvm dm rootfs-block udev-rules fs-lib", "--add-drivers", "xen-blkfront xfs ext4 dm-mod",
		"--compress", "gzip -1", "--include", string(add), "/", "--tmpdir", dir, image)
	early := folder(filepath.Join(dir, "early"))
	early.put(t, "early_cpio", "1\n")
	early.put(t, "kernel/x86/microcode/GenuineIntel.bin", strings.Repeat("microcode", 100))
	testtool.Run(t, "sh", "-c", "cd "+string(early)+" && find . | sort | cpio -o -H newc --quiet > "+image+".early && cat "+image+" >> "+image+".early")
	data, err := os.ReadFile(image + ".early")
	must(t, err)
	return data
}

const forever = "[Unit]\nJobTimeoutSec=0\nJobRunningTimeoutSec=0\n"

// lvmFacts are those of makeDracut's guest.
func lvmFacts(k guest.Kernel) *guest.Facts {
	f := xenFacts(k)
	f.Root = "vg/root"
	f.Filesystems = append(f.Filesystems,
		guest.Filesystem{Volume: "sda3", Number: 3, Type: "LVM2_member", UUID: "Aaaaaa-1111-2222-3333-4444-5555-666666"},
		guest.Filesystem{Volume: "vg/root", Number: -1, Type: "xfs", UUID: "root-uuid", Layers: []guest.Layer{{Kind: "lvm", Volume: "vg/root", Members: []string{"sda3"}}}})
	f.NICs = nil
	return f
}

// TestDracut: an image that dracut made gets the drivers, and what it says of
// devices becomes true. kmod and LVM judge the tree that the kernel will unpack.
func TestDracut(t *testing.T) {
	k := hostKernel(t)
	base := makeDracut(t, k.Version)
	k.Initramfs = filepath.Join(t.TempDir(), "initramfs.img")
	must(t, os.WriteFile(k.Initramfs, base, 0o644))
	job := Job{Facts: lvmFacts(k), Needs: kvm()}
	changed := planImage(t, job)
	if !bytes.HasPrefix(changed, base) {
		t.Fatal("the base is not kept")
	}
	dir := unpackDracut(t, base, changed[len(base):])
	for _, name := range []string{"virtio_blk", "virtio_pci", "xen_blkfront", "xfs", "dm_mod", "crypto-crc32c", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio:d00000002v00001AF4"} {
		out := testtool.Run(t, "modprobe", "-d", dir, "-S", k.Version, "--show-depends", name)
		for _, word := range strings.Fields(out) {
			if strings.HasPrefix(word, "/") && !guest.Exists(folder(""), word) {
				t.Errorf("%s: %s is not there", name, word)
			}
		}
	}
	for name, want := range map[string]string{
		"etc/cmdline.d/20-vmconv.conf":   "rd.driver.pre=virtio_pci rd.driver.pre=virtio_blk rd.driver.pre=virtio_net\n",
		"etc/cmdline.d/95root-dev.conf":  " root=/dev/disk/by-uuid/11111111-2222-3333-4444-555555555555 rootfstype=ext4 resume=/dev/disk/by-uuid/swap-uuid rd.lvm.lv=vg/root\n",
		"etc/lvm/lvm.conf":               "devices {\n\tglobal_filter = [ \"a|^/dev/xvd|\", \"a|^/dev/vd|\", \"r|.*|\" ]\n}\n",
		"etc/lvm/devices/system.devices": "VERSION=1.1.2\nIDTYPE=devname IDNAME=/dev/vda3 DEVNAME=/dev/vda3 PVID=Aaaaaa11112222333344445555666666 PART=3\n",
		`usr/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fxvda2.sh`: "[ -e \"/dev/disk/by-uuid/swap-uuid\" ]\n",
		`usr/lib/dracut/hooks/emergency/80-\x2fdev\x2fxvdq1.sh`:                 "[ -e \"/dev/null\" ] || warn \"\\\"/dev/null\\\" does not exist\"\n",
		`etc/systemd/system/dev-disk-by\x2duuid-1.device.d/timeout.conf`:        forever,
		"etc/systemd/system/dev-xvda2.device.d/timeout.conf":                    "[Unit]\nJobTimeoutSec=1\nJobRunningTimeoutSec=1\n",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	must(t, os.WriteFile(k.Initramfs, changed, 0o644))
	if again := planImage(t, job); again != nil {
		t.Error("a second run changes it again")
	}
}

// unpackDracut lays the segment over the main archive of the base.
func unpackDracut(t *testing.T, base, tail []byte) string {
	t.Helper()
	top := t.TempDir()
	must(t, os.WriteFile(filepath.Join(top, "base"), base, 0o644))
	must(t, os.WriteFile(filepath.Join(top, "tail"), bytes.TrimLeft(tail, "\x00"), 0o644))
	testtool.Run(t, "unmkinitramfs", filepath.Join(top, "base"), filepath.Join(top, "tree"))
	dir := filepath.Join(top, "tree", "main")
	testtool.Run(t, "sh", "-c", "cd "+dir+" && cpio -idu --quiet < ../../tail")
	return dir
}
