package vmdef

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// written are machines for the writer: what each target makes of a guest.
func written() map[string]VM {
	disk := func(file string, place Place) Disk {
		return Disk{Place: place, File: file, Size: 1 << 30, FileSize: 70144, Populated: 1 << 20}
	}
	return map[string]VM{
		"compat": {
			Name: "web01", Title: "Debian GNU/Linux 12 <bookworm>", OSID: "http://debian.org/debian/12", Arch: "x86_64",
			Firmware: "bios", CPUs: CPUs{Count: 2}, Memory: 1 << 30,
			Disks:      []Disk{disk("web01-disk1.vmdk", Place{Bus: "sata"}), disk("web01-disk2.vmdk", Place{Bus: "sata"})},
			Removables: []Removable{{Kind: "cdrom", Place: Place{Bus: "fdc"}}, {Kind: "floppy"}},
			NICs:       []NIC{{Model: "e1000"}, {Model: "virtio", Network: "DMZ & more"}},
		},
		"vmware": {
			Name: "db", Arch: "x86_64", Firmware: "efi", SecureBoot: true, GuestOS: "rhel8_64Guest",
			CPUs: CPUs{Count: 8, CoresPerSocket: 4}, Memory: 3<<30 + 1,
			Disks: []Disk{
				disk("a.vmdk", Place{Bus: "scsi", Model: "pvscsi"}), {Place: Place{Bus: "scsi", Model: "pvscsi", Unit: 7}, Size: 4 << 30},
				disk("b.vmdk", Place{Bus: "scsi", Model: "lsilogic", Controller: 1}), disk("c.vmdk", Place{Bus: "nvme"}),
				disk("d.vmdk", Place{Bus: "ide", Controller: 1, Unit: 1}),
			},
			NICs: []NIC{{Model: "vmxnet3", Network: "VM Network", MAC: "00:50:56:00:11:22"}, {Model: "vmxnet3", Network: "VM Network"}},
		},
		"unknown": {Arch: "i686", Disks: []Disk{disk("x.vmdk", Place{})}},
	}
}

func TestOVF(t *testing.T) {
	for name, vm := range written() {
		t.Run(name, func(t *testing.T) {
			text, err := vm.OVF()
			if err != nil {
				t.Fatal(err)
			}
			again, _ := vm.OVF()
			if !bytes.Equal(text, again) {
				t.Error("not the same bytes twice")
			}
			file := filepath.Join("testdata", "written", name+".ovf")
			if *update {
				if err := os.WriteFile(file, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(text, want) {
				t.Errorf("got:\n%s", text)
			}
			testtool.Run(t, "xmllint", "--noout", file)
			checkReadBack(t, vm, text)
		})
	}
}

// checkReadBack holds the written envelope against the rules that importers are
// strict about, and its content against the machine.
func checkReadBack(t *testing.T, vm VM, text []byte) {
	root, _, err := parseXML("ovf", text, ondisk.Limits{}.OrDefault())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, it := range root.child("VirtualSystem").child("VirtualHardwareSection").all("Item") {
		id, parent := instanceID(it), it.child("Parent").text
		if seen[id] || parent != "" && !seen[parent] {
			t.Errorf("item %s: not unique, or before its parent %s", id, parent)
		}
		seen[id] = true
		for i, p := range it.children[1:] {
			if p.space == "rasd" && p.name < it.children[i].name {
				t.Errorf("item %s: %s is out of order", id, p.name)
			}
		}
	}
	e, warnings, err := ParseOVF(text, ondisk.Limits{})
	if err != nil || len(warnings) > 0 || len(e.Systems) != 1 {
		t.Fatal(e, warnings, err)
	}
	got := e.Systems[0]
	if got.Firmware != vm.Firmware || got.SecureBoot != vm.SecureBoot || len(got.NICs) != len(vm.NICs) || len(got.Disks) != len(vm.Disks) {
		t.Errorf("read back: %+v", got)
	}
	for i, d := range got.Disks {
		want := vm.Disks[i]
		if d.File != want.File || d.Size != want.Size || d.FileSize != want.FileSize || want.Bus != "" && d.Bus != want.Bus {
			t.Errorf("disk %d: %+v, want %+v", i, d, want)
		}
	}
}

func TestOVFRefuses(t *testing.T) {
	file := Disk{File: "a.vmdk", Size: 1}
	for name, disk := range map[string]Disk{
		"virtio":  {File: "a.vmdk", Size: 1, Place: Place{Bus: "virtio"}},
		"model":   {File: "a.vmdk", Size: 1, Place: Place{Bus: "scsi", Model: "virtio-scsi"}},
		"folder":  {File: "../a.vmdk", Size: 1},
		"unsized": {File: "a.vmdk"},
		"remote":  {Remote: "rbd a/b", Size: 1},
	} {
		if _, err := (VM{Disks: []Disk{file, disk}}).OVF(); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := VM{}
	for range 3 {
		full.Disks = append(full.Disks, Disk{File: "a.vmdk", Size: 1, Place: Place{Bus: "ide"}})
	}
	if _, err := full.OVF(); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("three disks on one IDE controller: %v", err)
	}
}

// TestOVFFromOthers writes what was read: nothing that a reader returns may make
// a broken envelope.
func TestOVFFromOthers(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var sample struct{ Systems []VM }
		if err := json.Unmarshal(data, &sample); err != nil {
			t.Fatal(err)
		}
		for _, vm := range sample.Systems {
			for i := range vm.Disks {
				vm.Disks[i] = Disk{File: "d.vmdk", Size: 1 << 20, Place: Place{Bus: "sata"}}
			}
			text, err := vm.OVF()
			if err != nil || strings.Contains(string(text), "\ufffd") && !strings.Contains(file, "big5") {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if _, warnings, err := ParseOVF(text, ondisk.Limits{}); err != nil || len(warnings) > 0 {
				t.Errorf("%s: %v %v", file, warnings, err)
			}
			xml, err := vm.Libvirt()
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := ParseLibvirt(xml, ondisk.Limits{}); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
