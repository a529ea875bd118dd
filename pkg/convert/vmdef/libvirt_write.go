package vmdef

import (
	"fmt"
	"html"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Libvirt is the domain XML of libvirt, <https://libvirt.org/formatdomain.html>.
// It names no host resource but the disks, and a network called "default" where
// the machine names none, so that any libvirt host can define it.
func (vm VM) Libvirt() ([]byte, error) {
	d := libvirtxml.Domain{
		Type:     "kvm",
		Name:     vm.Name,
		UUID:     vm.UUID,
		Title:    vm.Title,
		Metadata: vm.libosinfo(),
		Memory:   vm.libvirtMemory(),
		VCPU:     &libvirtxml.DomainVCPU{Value: uint(max(vm.CPUs.Count, 1))},
		OS:       vm.libvirtOS(),
		Features: &libvirtxml.DomainFeatureList{},
		CPU:      vm.libvirtCPU(),
		Clock:    &libvirtxml.DomainClock{Offset: "utc"},
		Devices:  vm.libvirtDevices(),
	}
	if vm.GenID != "" {
		d.GenID = &libvirtxml.DomainGenID{Value: vm.GenID}
	}
	if isX86(vm.Arch) {
		d.Features.ACPI = &libvirtxml.DomainFeature{}
		d.Features.APIC = &libvirtxml.DomainFeatureAPIC{}
		if vm.Firmware == "efi" && vm.SecureBoot { // keeps the guest from its variables
			d.Features.SMM = &libvirtxml.DomainFeatureSMM{State: "on"}
		}
	}
	text, err := d.Marshal()
	if err != nil {
		return nil, fmt.Errorf("libvirt: %w", err)
	}
	return []byte(text + "\n"), nil
}

// defaultMemory is for a machine whose memory nobody knows.
const defaultMemory = 2 << 30

func (vm VM) memory() int64 {
	if vm.Memory > 0 {
		return vm.Memory
	}
	return defaultMemory
}

func (vm VM) libvirtMemory() *libvirtxml.DomainMemory {
	if bytes := vm.memory(); bytes%(1<<20) == 0 {
		return &libvirtxml.DomainMemory{Value: uint(bytes >> 20), Unit: "MiB"}
	}
	return &libvirtxml.DomainMemory{Value: uint((vm.memory() + 1023) >> 10), Unit: "KiB"}
}

func isX86(arch string) bool { return arch == "x86_64" || arch == "i686" }

func (vm VM) libosinfo() *libvirtxml.DomainMetadata {
	if vm.OSID == "" {
		return nil
	}
	return &libvirtxml.DomainMetadata{XML: fmt.Sprintf(
		`<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="%s"/></libosinfo:libosinfo>`,
		html.EscapeString(vm.OSID))}
}

func (vm VM) libvirtOS() *libvirtxml.DomainOS {
	os := &libvirtxml.DomainOS{
		Type: &libvirtxml.DomainOSType{Arch: vm.Arch, Machine: vm.Machine, Type: "hvm"},
	}
	if vm.Firmware == "efi" {
		os.Firmware, os.FirmwareInfo = "efi", vm.libvirtFirmware()
	}
	if vm.Kernel != nil {
		os.Kernel, os.Initrd, os.Cmdline = vm.Kernel.Image, vm.Kernel.Initramfs, vm.Kernel.Args
	}
	return os
}

// libvirtFirmware leaves the choice of the firmware's build to libvirt, but not
// whether it refuses loaders that nobody signed: by itself libvirt may take one
// that does, and the guest would not start.
func (vm VM) libvirtFirmware() *libvirtxml.DomainOSFirmwareInfo {
	enabled := map[bool]string{true: "yes", false: "no"}[vm.SecureBoot]
	return &libvirtxml.DomainOSFirmwareInfo{Features: []libvirtxml.DomainOSFirmwareFeature{
		{Enabled: enabled, Name: "enrolled-keys"}, {Enabled: enabled, Name: "secure-boot"},
	}}
}

func (vm VM) libvirtCPU() *libvirtxml.DomainCPU {
	c := vm.CPUs
	if c.Sockets <= 0 || c.CoresPerSocket <= 0 || c.Sockets*c.CoresPerSocket != c.Count {
		return nil // libvirt refuses a topology that does not add up
	}
	return &libvirtxml.DomainCPU{Topology: &libvirtxml.DomainCPUTopology{
		Sockets: c.Sockets, Cores: c.CoresPerSocket, Threads: 1,
	}}
}

func (vm VM) libvirtDevices() *libvirtxml.DomainDeviceList {
	list := &libvirtxml.DomainDeviceList{Controllers: vm.libvirtControllers()}
	for _, disk := range vm.Disks {
		list.Disks = append(list.Disks, disk.libvirt())
	}
	for _, nic := range vm.NICs {
		list.Interfaces = append(list.Interfaces, nic.libvirt())
	}
	if vm.Console {
		list.Serials = []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}}}
		port := uint(0)
		list.Consoles = []libvirtxml.DomainConsole{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: &port},
		}}
	}
	if vm.TPM != "" {
		emulator := &libvirtxml.DomainTPMBackendEmulator{}
		if strings.Contains(vm.TPM, ".") {
			emulator.Version = vm.TPM
		}
		list.TPMs = []libvirtxml.DomainTPM{{Backend: &libvirtxml.DomainTPMBackend{Emulator: emulator}}}
	}
	list.RNGs = []libvirtxml.DomainRNG{{
		Model:   "virtio",
		Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
	}}
	return list
}

// libvirtControllers are the SCSI controllers whose model is known; libvirt adds
// all others by itself.
func (vm VM) libvirtControllers() []libvirtxml.DomainController {
	var list []libvirtxml.DomainController
	seen := map[int]bool{}
	for _, disk := range vm.Disks {
		if disk.Bus != "scsi" || disk.Model == "" || seen[disk.Controller] {
			continue
		}
		seen[disk.Controller] = true
		index := uint(disk.Controller)
		model := disk.Model
		if model == "pvscsi" {
			model = "vmpvscsi"
		}
		list = append(list, libvirtxml.DomainController{Type: "scsi", Index: &index, Model: model})
	}
	return list
}

func (disk Disk) libvirt() libvirtxml.DomainDisk {
	d := libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: disk.Format, Discard: "unmap"},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: disk.File}},
		Target: &libvirtxml.DomainDiskTarget{Dev: disk.Device, Bus: disk.Bus},
		Serial: disk.Serial,
	}
	if disk.Boot > 0 {
		d.Boot = &libvirtxml.DomainDeviceBoot{Order: uint(disk.Boot)}
	}
	if disk.ReadOnly {
		d.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	return d
}

func (nic NIC) libvirt() libvirtxml.DomainInterface {
	i := libvirtxml.DomainInterface{Model: &libvirtxml.DomainInterfaceModel{Type: nic.Model}}
	switch {
	case nic.Type == "bridge" && nic.Network != "":
		i.Source = &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: nic.Network}}
	case nic.Network != "":
		i.Source = &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: nic.Network}}
	default:
		i.Source = &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "default"}}
	}
	if nic.MAC != "" {
		i.MAC = &libvirtxml.DomainInterfaceMAC{Address: nic.MAC}
	}
	return i
}
