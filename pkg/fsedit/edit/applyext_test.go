package edit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/ext"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// The plan of a small guest on a real filesystem, judged by e2fsck and debugfs.
func TestApplyOnExt(t *testing.T) {
	testtool.Need(t, "mke2fs", "e2fsck", "debugfs")
	tree := folder(t.TempDir())
	tree.put(t, "etc/fstab", "/dev/xvda / ext4 defaults 0 1\n")
	tree.put(t, "etc/securetty", "hvc0\n")
	tree.put(t, "etc/systemd/system/getty.target.wants/serial-getty@hvc0.service -> /lib/systemd/system/serial-getty@.service", "")
	tree.put(t, "lib/udev/rules.d/80-net-setup-link.rules", "")
	must(t, os.Chmod(tree.host("etc/securetty"), 0o600))
	name := fsedittest.NewImage(t, 8<<20)
	testtool.Run(t, "mke2fs", "-q", "-t", "ext4", "-U", "11111111-2222-3333-4444-555555555555", "-d", string(tree), name)

	overlay := fsedittest.OpenWritable(t, name)
	volume, err := ext.Driver{}.Open(t.Context(), []blockdev.Device{overlay}, filesys.Options{})
	must(t, err)
	disks := guest.NewTree([]guest.Mounted{{Path: "/", Volume: "sda", Open: func() (filesys.Volume, filesys.FS, error) {
		root, err := volume.Root("")
		return volume, root, err
	}}})
	s := NewStaged(disks)
	must(t, Plan(t.Context(), s, Job{Needs: kvm(), Facts: &guest.Facts{
		OS:          guest.OS{Type: "linux"},
		Filesystems: []guest.Filesystem{{Volume: "sda", UUID: "11111111-2222-3333-4444-555555555555"}},
		NICs:        []guest.NIC{{Name: "eth0"}},
	}}))
	changes, err := s.Changes()
	must(t, err)
	must(t, Apply(t.Context(), disks, changes, ApplyOptions{Now: time.Unix(1_700_000_000, 0)}))
	fsedittest.Save(t, overlay, name)

	testtool.Run(t, "e2fsck", "-fn", name)
	out := t.TempDir()
	testtool.Run(t, "debugfs", "-R", "rdump / "+out, name)
	for p, want := range map[string]string{
		"etc/fstab":     "UUID=11111111-2222-3333-4444-555555555555 / ext4 defaults 0 1\n",
		"etc/securetty": "hvc0\nttyS0\n",
		"etc/systemd/network/70-vmconv-eth0.link": linkFile(guest.NIC{Name: "eth0"}, 0, 1, "virtio_net"),
	} {
		if got, err := os.ReadFile(filepath.Join(out, p)); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", p, err, got)
		}
	}
	links, err := filepath.Glob(filepath.Join(out, "etc/systemd/system/getty.target.wants/*"))
	must(t, err)
	if len(links) != 1 || filepath.Base(links[0]) != "serial-getty@ttyS0.service" {
		t.Errorf("login prompts: %v", links)
	}
	if st, err := os.Stat(filepath.Join(out, "etc/securetty")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("securetty: %v, %v", st.Mode(), err)
	}
}
