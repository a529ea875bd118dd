package vmdef

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func TestLibvirtSchema(t *testing.T) {
	vms := map[string]VM{
		"disk": {
			Name: "web01", Title: "Debian GNU/Linux 12 <bookworm>", OSID: "http://debian.org/debian/12",
			Arch: "x86_64", Machine: "q35", Firmware: "bios", Console: true,
			Disks: []Disk{
				{File: "/images/web 01.qcow2", Format: "qcow2", Bus: "virtio", Device: "vda", Boot: true},
				{File: "/images/data.raw", Format: "raw", Bus: "virtio", Device: "vdb"},
			},
			NICs: []NIC{{MAC: "00:16:3e:01:02:03", Model: "virtio"}, {Model: "virtio"}},
		},
		"direct": {
			Name: "bare", Arch: "x86_64", Machine: "q35",
			Disks:  []Disk{{File: "/images/bare.qcow2", Format: "qcow2", Bus: "virtio", Device: "vda"}},
			Kernel: &Kernel{Image: "/images/bare.vmlinuz", Initramfs: "/images/bare.initrd", Args: `root=UUID=1 "a b" console=ttyS0`},
		},
	}
	for name, vm := range vms {
		t.Run(name, func(t *testing.T) {
			text, err := vm.Libvirt()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "vm.xml")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			testtool.Run(t, "virt-xml-validate", file, "domain")
			if !strings.Contains(string(text), vm.Disks[0].File) {
				t.Errorf("the disk is not named:\n%s", text)
			}
		})
	}
}
