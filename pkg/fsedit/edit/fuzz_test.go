package edit

import (
	"context"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// textFiles are all files that edits read as text of the guest's owner.
var textFiles = []string{
	"/etc/fstab", "/etc/crypttab", "/etc/initramfs-tools/conf.d/resume", "/etc/initramfs-tools/modules",
	"/etc/mdadm/mdadm.conf", "/boot/grub/device.map", "/var/cache/debconf/config.dat",
	"/etc/systemd/system/data.mount", "/etc/hdparm.conf", "/etc/inittab", "/etc/securetty", "/etc/init/hvc0.conf",
	"/etc/udev/rules.d/70-persistent-net.rules", "/etc/modprobe.d/x.conf",
	"/boot/grub/grub.cfg", "/boot/grub/grubenv", "/etc/default/grub",
}

// Whatever the files hold, a second run finds nothing to do.
func FuzzPlan(f *testing.F) {
	f.Add("/dev/xvda1 / ext4 defaults,journal_path=/dev/sdb 0 1\r\nnone /proc/xen xenfs x")
	f.Add("RESUME=/dev/xvda2\nDEVICE /dev/sda\n(hd0) /dev/xvda\nName: grub-pc/install_devices\nValue: /dev/xvda\nWhat=/dev/xvda1")
	f.Add("1:2345:respawn:/sbin/getty hvc0\n#1:2345:respawn:/sbin/getty 38400 tty1\nhvc0\nblacklist virtio_blk\ninstall virtio_net /bin/true")
	f.Add("menuentry 'x' { linux /vmlinuz root=/dev/xvda1 console=hvc0\n initrd /i }\nset default=0")
	f.Add("# GRUB Environment Block\nkernelopts=root=/dev/xvda1\n######################################################")
	f.Add("GRUB_CMDLINE_LINUX=\"root=/dev/xvda1 console=hvc0\"\nGRUB_DISABLE_LINUX_UUID=true\nGRUB_DEVICE=/dev/xvda1")
	f.Add(`SUBSYSTEM=="net", KERNELS=="0000:02:00.0", ATTR{address}=="00:50:56:00:00:02", NAME="eth1"`)
	f.Fuzz(func(t *testing.T, text string) {
		files := map[string]string{}
		for _, p := range textFiles {
			files[p] = text
		}
		root := fsedittest.NewMemFS(files)
		base := guest.NewTree([]guest.Mounted{{Path: "/", Volume: "sda1", Open: func() (filesys.Volume, filesys.FS, error) {
			return nil, root, nil
		}}})
		if again := twice(t, base); again != "" {
			t.Errorf("a second run changes more:\n%s", again)
		}
	})
}

// twice runs the edits on what they made of base, and tells what they change.
func twice(t *testing.T, base guest.View) string {
	job := Job{Needs: kvm(), Facts: &guest.Facts{
		Root:    "sda1",
		OS:      guest.OS{Type: "linux"},
		Loaders: []guest.Loader{{Kind: "grub2", Config: "/boot/grub/grub.cfg", Env: "/boot/grub/grubenv"}},
		NICs:    []guest.NIC{{Name: "eth1", MAC: "00:50:56:00:00:02"}},
		Filesystems: []guest.Filesystem{
			{Volume: "sda1", Number: 1, UUID: "u1"}, {Volume: "sda2", Number: 2}, {Volume: "sdb", Disk: 1, UUID: "u2"},
		},
	}}
	first := NewStaged(base)
	if err := Plan(context.Background(), first, job); err != nil {
		return ""
	}
	second := NewStaged(first)
	must(t, Plan(context.Background(), second, job))
	changes, err := second.Changes()
	must(t, err)
	out := ""
	for _, c := range changes {
		out += string(c.Kind) + " " + c.Path + "\n" + c.Diff
	}
	return out
}
