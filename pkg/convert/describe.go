package convert

import (
	"strconv"

	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// machine describes the converted guest for one target.
func machine(name string, t target.Target, f *guest.Facts, disks []vmdef.Disk) vmdef.VM {
	vm := vmdef.VM{
		Name: name, Arch: "x86_64", Machine: "q35", Firmware: "bios",
		Disks: disks, Console: t.Console != "",
	}
	if f == nil {
		vm.NICs = []vmdef.NIC{{Model: t.NICModel}}
		return vm
	}
	vm.Title, vm.OSID = f.OS.Name, osinfoID(f.OS)
	if arch := f.Arch(); arch != "" {
		vm.Arch = arch
	}
	if vm.Arch != "x86_64" && vm.Arch != "i686" {
		vm.Machine = "virt"
	}
	if kind, _ := f.Firmware.Choose(); kind != "" {
		vm.Firmware = kind
	}
	for _, nic := range f.NICs {
		vm.NICs = append(vm.NICs, vmdef.NIC{MAC: nic.MAC, Model: t.NICModel})
	}
	if len(vm.NICs) == 0 {
		vm.NICs = []vmdef.NIC{{Model: t.NICModel}}
	}
	return vm
}

// carry takes over what the source's description says of its hardware. Network
// names are the old host's, and stay behind.
func carry(vm *vmdef.VM, src vmdef.VM) {
	vm.UUID, vm.GenID, vm.Serial = src.UUID, src.GenID, src.Serial
	vm.CPUs, vm.Memory = src.CPUs, src.Memory
	if src.Firmware != "" {
		vm.Firmware, vm.SecureBoot = src.Firmware, src.SecureBoot
	}
	if len(src.NICs) == 0 {
		return
	}
	model := vm.NICs[0].Model
	vm.NICs = nil
	for _, nic := range src.NICs {
		vm.NICs = append(vm.NICs, vmdef.NIC{MAC: nic.MAC, Model: model})
	}
}

// osinfoID names the system in the database of libosinfo, whose ids are made of
// the vendor's domain, the product and its version. Unknown systems have none.
func osinfoID(os guest.OS) string {
	vendors := map[string]string{
		"debian": "debian.org/debian", "ubuntu": "ubuntu.com/ubuntu", "fedora": "fedoraproject.org/fedora",
		"rhel": "redhat.com/rhel", "centos": "centos.org/centos", "rocky": "rockylinux.org/rocky",
		"almalinux": "almalinux.org/almalinux", "alpine": "alpinelinux.org/alpinelinux",
		"sles": "suse.com/sles", "opensuse-leap": "opensuse.org/opensuse",
	}
	vendor, known := vendors[os.Distro]
	if !known || os.Major == 0 {
		return ""
	}
	version := strconv.Itoa(os.Major)
	switch os.Distro {
	case "debian", "fedora", "rocky", "almalinux":
	case "ubuntu":
		version = os.Version // "22.04"
	default:
		version += "." + strconv.Itoa(os.Minor)
	}
	return "http://" + vendor + "/" + version
}
