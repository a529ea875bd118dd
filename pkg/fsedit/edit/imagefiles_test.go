package edit

import (
	"bytes"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/cpio"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/initramfs"
)

// smallImage is an initramfs of folders and text files, in this order.
func smallImage(t *testing.T, files ...[2]string) *initramfs.Image {
	t.Helper()
	var out bytes.Buffer
	w := cpio.NewWriter(&out)
	for _, f := range files {
		h := cpio.Header{Name: f[0], Mode: cpio.TypeRegular | 0o644}
		if f[1] == "" {
			h.Mode = cpio.TypeDir | 0o755
		}
		must(t, w.Add(h, []byte(f[1])))
	}
	must(t, w.Close())
	image, err := initramfs.Read(bytes.NewReader(out.Bytes()), int64(out.Len()), initramfs.Options{Keep: configured})
	must(t, err)
	return image
}

func TestImageFiles(t *testing.T) {
	image := smallImage(t,
		[2]string{"conf"}, [2]string{"conf/param.conf", "ROOT=/dev/xvda1\nX=/dev/xvda1\n"},
		[2]string{"conf/conf.d"}, [2]string{"conf/conf.d/zz-resume-auto", "RESUME=/dev/xvda2\n"},
		[2]string{"cryptroot"}, [2]string{"cryptroot/crypttab", "root\t/dev/xvda1 none luks\n"},
		[2]string{"etc"}, [2]string{"etc/cmdline.d"},
		[2]string{"etc/cmdline.d/95root-dev.conf", "root=/dev/xvda1 rootfstype=ext4 resume=/dev/xvdz9\n"},
		[2]string{"etc/modprobe.d"}, [2]string{"etc/modprobe.d/x.conf", "blacklist virtio_blk\nblacklist pcspkr\n"},
		[2]string{"lib"}, [2]string{"lib/udev"}, [2]string{"lib/udev/rules.d"},
		[2]string{"lib/udev/rules.d/80-net-setup-link.rules", "#"},
	)
	job := testNames(guest.Filesystem{Volume: "sda1", Number: 1, UUID: "u1"}, guest.Filesystem{Volume: "sda2", Number: 2})
	job.Facts.NICs = []guest.NIC{{Name: "eth0"}}
	base := folder(t.TempDir())
	base.put(t, "lib/udev/rules.d/80-net-setup-link.rules", "")
	base.put(t, "etc/systemd/network/10-own.link", "[Link]\n")
	s := NewStaged(base)
	must(t, network{}.Plan(t.Context(), s, job))

	f := imageFiles{image: image, added: map[string][]byte{}}
	must(t, f.devices(newNames(job)))
	must(t, f.allow(job.Needs))
	must(t, f.force(initramfs.Dracut, []string{"virtio_pci", "virtio_blk"}))
	must(t, f.links(s, job))
	want := map[string]string{
		"conf/param.conf":                         "ROOT=UUID=u1\nX=/dev/xvda1\n",
		"conf/conf.d/zz-resume-auto":              "RESUME=/dev/vda2\n",
		"cryptroot/crypttab":                      "root\tUUID=u1 none luks\n",
		"etc/cmdline.d/95root-dev.conf":           "root=/dev/disk/by-uuid/u1 rootfstype=ext4 resume=/dev/xvdz9\n",
		"etc/cmdline.d/20-vmconv.conf":            "rd.driver.pre=virtio_pci rd.driver.pre=virtio_blk\n",
		"etc/modprobe.d/x.conf":                   "#blacklist virtio_blk\nblacklist pcspkr\n",
		"lib/systemd/network/70-vmconv-eth0.link": linkFile(job.Facts.NICs[0], 0, 1, "virtio_net"),
	}
	for p, content := range want {
		if got := string(f.added[p]); got != content {
			t.Errorf("%s: %q, want %q", p, got, content)
		}
	}
	if len(f.added) != len(want) {
		t.Errorf("%d files, want %d", len(f.added), len(want))
	}
}
