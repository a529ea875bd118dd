package bootcheck

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/cpio"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

const version = "6.1.0"

// image is an initramfs with files: modules below its index, or with a path.
func image(t *testing.T, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	w := cpio.NewWriter(&out)
	made := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p := "lib/modules/" + version + "/" + name
		if strings.HasPrefix(name, "/") {
			p = name[1:]
		}
		for i, c := range p {
			if dir := p[:i]; c == '/' && !made[dir] {
				made[dir] = true
				must(t, w.Add(cpio.Header{Name: dir, Mode: cpio.TypeDir | 0o755}, nil))
			}
		}
		must(t, w.Add(cpio.Header{Name: p, Mode: cpio.TypeRegular | 0o644}, []byte(files[name])))
	}
	must(t, w.Close())
	return out.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type system struct {
	files map[string]string
	image map[string]string
	facts guest.Facts

	secure bool // Secure Boot
}

// good is a guest that starts.
func good() *system {
	kernel := guest.Kernel{
		Version: version, Modules: "/lib/modules/" + version, Image: "/boot/vmlinuz", Initramfs: "/boot/initrd",
		Args: "root=UUID=u1 ro console=tty0 console=ttyS0", Default: true,
	}
	return &system{
		files: map[string]string{
			"/boot/vmlinuz": "kernel", "/boot/grub/grub.cfg": "",
			"/lib/modules/" + version + "/modules.dep":     "",
			"/lib/modules/" + version + "/modules.builtin": "kernel/drivers/virtio/virtio_pci.ko\n",
		},
		image: map[string]string{
			"modules.dep":   "virtio_blk.ko:\next4.ko:\n",
			"modules.alias": "alias virtio:d00000002v* virtio_blk\n",
			"virtio_blk.ko": "", "ext4.ko": "",
		},
		facts: guest.Facts{
			Root:        "sda1",
			Kernels:     []guest.Kernel{kernel},
			Loaders:     []guest.Loader{{Kind: "grub2", Config: "/boot/grub/grub.cfg", Installed: true}},
			Firmware:    guest.Firmware{BIOS: true, Evidence: []string{"boot code in the first sector"}},
			Filesystems: []guest.Filesystem{{Volume: "sda1", Number: 1, Type: "ext3", UUID: "u1"}, {Volume: "sda2", Number: 2, Type: "ext4"}},
			Mounts:      []guest.Mount{{Path: "/", Volume: "sda1", Spec: "UUID=u1", Type: "ext3", Options: "defaults", Line: 1}},
		},
	}
}

// failed are the rows that are required and do not pass.
func (s *system) failed(t *testing.T) string {
	t.Helper()
	files := maps.Clone(s.files)
	if s.image != nil {
		files["/boot/initrd"] = image(t, s.image)
	}
	root := fsedittest.NewMemFS(files)
	tree := guest.NewTree([]guest.Mounted{{Path: "/", Volume: "sda1", Open: func() (filesys.Volume, filesys.FS, error) {
		return nil, root, nil
	}}})
	rows, err := Check(t.Context(), tree, edit.Job{Facts: &s.facts, SecureBoot: s.secure, Needs: edit.Needs{
		Drivers:  []edit.Driver{{Module: "virtio_pci", Required: true}, {Module: "virtio_blk", Required: true}, {Module: "virtio_net"}},
		DiskName: func(i int) string { return "vd" + string(rune('a'+i)) },
		Console:  "ttyS0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range Failed(rows) {
		ids = append(ids, r.ID)
		if r.Evidence == "" || r.Text == "" {
			t.Errorf("%s: no words", r.ID)
		}
	}
	return strings.Join(ids, " ")
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *system)
		want   string
	}{
		{"good", func(s *system) {}, ""},
		{"no configuration", func(s *system) { delete(s.files, "/boot/grub/grub.cfg") }, "loader"},
		{"no boot code", func(s *system) { s.facts.Firmware, s.facts.Loaders = guest.Firmware{}, nil }, ""},
		{"no kernel", func(s *system) { delete(s.files, "/boot/vmlinuz") }, "kernel:6.1.0"},
		{"no kernels", func(s *system) { s.facts.Kernels = nil }, "kernel"},
		{"no initramfs", func(s *system) { s.image = nil }, "initramfs:6.1.0"},
		{"no driver", func(s *system) { delete(s.image, "virtio_blk.ko") }, "drivers:6.1.0"},
		{"no alias", func(s *system) { delete(s.image, "modules.alias") }, "aliases:6.1.0"},
		{"no filesystem", func(s *system) { s.facts.Filesystems[0].Type = "xfs" }, "rootfs:6.1.0"},
		{"device of the source", func(s *system) { s.facts.Kernels[0].Args = "root=/dev/xvda1" }, "root:6.1.0"},
		{"device of the target", func(s *system) { s.facts.Kernels[0].Args = "root=/dev/vda1" }, ""},
		{"no root", func(s *system) { s.facts.Kernels[0].Args = "ro" }, "root:6.1.0"},
		{"no boot entry", func(s *system) { s.facts.Kernels[0].Args = "" }, ""},
		{"no boot entry and no loader", func(s *system) {
			s.facts.Kernels[0].Args, s.facts.Firmware = "", guest.Firmware{}
		}, "root:6.1.0"},
		{"another root", func(s *system) { s.facts.Kernels[0].Args = "root=/dev/vda2" }, "root:6.1.0"},
		{"xen only", func(s *system) { s.facts.Kernels[0].XenOnly = true }, "kernel:6.1.0"},
		{"fstab", func(s *system) { s.facts.Mounts[0].Spec = "/dev/xvda1" }, "fstab:/"},
		{"fstab, nofail", func(s *system) {
			s.facts.Mounts[0].Spec, s.facts.Mounts[0].Options = "/dev/xvda1", "ro,nofail"
		}, ""},
		{"second kernel", func(s *system) {
			s.facts.Kernels = append(s.facts.Kernels, guest.Kernel{Version: "5.10", Args: "root=/dev/xvda1"})
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := good()
			test.change(s)
			if got := s.failed(t); got != test.want {
				t.Errorf("fails by %q, want %q", got, test.want)
			}
		})
	}
}

func TestConsole(t *testing.T) {
	for args, want := range map[string]bool{"": true, "console=hvc0": false, "console=hvc0 console=tty0": true, "console=ttyS0,115200": true} {
		c := checker{needs: edit.Needs{Console: "ttyS0"}}
		c.console(guest.Kernel{Args: args})
		if c.rows[0].Pass != want {
			t.Errorf("%q: %t", args, c.rows[0].Pass)
		}
	}
}
