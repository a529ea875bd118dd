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
				{File: "/images/web 01.qcow2", Format: "qcow2", Place: Place{Bus: "virtio", Device: "vda", Boot: 1}},
				{File: "/images/data.raw", Format: "raw", Place: Place{Bus: "virtio", Device: "vdb"}},
			},
			NICs: []NIC{{MAC: "00:16:3e:01:02:03", Model: "virtio"}, {Model: "virtio"}},
		},
		"server": {
			Name: "db", UUID: "3a1f8f0e-5a52-4a6b-9d8e-1c6f0f5f3a11", Arch: "x86_64", Machine: "q35", Firmware: "efi", TPM: "2.0",
			Memory: 3<<30 + 5, CPUs: CPUs{Count: 4, Sockets: 2, CoresPerSocket: 2}, GenID: "5f0a1b1e-9d0c-4c7f-8a50-000000000001",
			OSID: `http://example.org/"os"`,
			Disks: []Disk{
				{File: "/d/0", Format: "raw", Place: Place{Bus: "scsi", Model: "pvscsi", Device: "sda", Boot: 1}, Serial: "S1"},
				{File: "/d/1", Format: "raw", Place: Place{Bus: "scsi", Model: "virtio-scsi", Controller: 1, Device: "sdb"}, ReadOnly: true},
			},
			NICs: []NIC{{Type: "bridge", Network: "br0", Model: "e1000e"}, {Network: "lab", Model: "virtio"}},
		},
		"secure": {
			Name: "signed", Arch: "x86_64", Machine: "q35", Firmware: "efi", SecureBoot: true,
			Disks: []Disk{{File: "/images/signed.qcow2", Format: "qcow2", Place: Place{Bus: "virtio", Device: "vda", Boot: 1}}},
		},
		"direct": {
			Name: "bare", Arch: "x86_64", Machine: "q35",
			Disks:  []Disk{{File: "/images/bare.qcow2", Format: "qcow2", Place: Place{Bus: "virtio", Device: "vda"}}},
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
