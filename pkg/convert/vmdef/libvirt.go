package vmdef

import (
	"fmt"

	"libvirt.org/go/libvirtxml"
)

// Libvirt is the domain XML of libvirt, <https://libvirt.org/formatdomain.html>.
// It names no host resource but the disks, and a network called "default", so
// that any libvirt host can define it.
func (vm VM) Libvirt() ([]byte, error) {
	d := libvirtxml.Domain{
		Type:     "kvm",
		Name:     vm.Name,
		Title:    vm.Title,
		Metadata: vm.libosinfo(),
		Memory:   &libvirtxml.DomainMemory{Value: uint(vm.memory()), Unit: "MiB"},
		VCPU:     &libvirtxml.DomainVCPU{Value: uint(max(vm.CPUs, 1))},
		OS:       vm.os(),
		Features: &libvirtxml.DomainFeatureList{},
		Clock:    &libvirtxml.DomainClock{Offset: "utc"},
		Devices:  vm.devices(),
	}
	if isX86(vm.Arch) {
		d.Features.ACPI = &libvirtxml.DomainFeature{}
		d.Features.APIC = &libvirtxml.DomainFeatureAPIC{}
	}
	text, err := d.Marshal()
	if err != nil {
		return nil, fmt.Errorf("libvirt: %w", err)
	}
	return []byte(text + "\n"), nil
}

const defaultMemoryMB = 2048

func (vm VM) memory() int {
	if vm.MemoryMB > 0 {
		return vm.MemoryMB
	}
	return defaultMemoryMB
}

func isX86(arch string) bool { return arch == "x86_64" || arch == "i686" }

func (vm VM) libosinfo() *libvirtxml.DomainMetadata {
	if vm.OSID == "" {
		return nil
	}
	return &libvirtxml.DomainMetadata{XML: fmt.Sprintf(
		`<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id=%q/></libosinfo:libosinfo>`, vm.OSID)}
}

func (vm VM) os() *libvirtxml.DomainOS {
	os := &libvirtxml.DomainOS{
		Type: &libvirtxml.DomainOSType{Arch: vm.Arch, Machine: vm.Machine, Type: "hvm"},
	}
	if vm.Firmware == "efi" {
		os.Firmware = "efi"
	}
	if vm.Kernel != nil {
		os.Kernel, os.Initrd, os.Cmdline = vm.Kernel.Image, vm.Kernel.Initramfs, vm.Kernel.Args
	}
	return os
}

func (vm VM) devices() *libvirtxml.DomainDeviceList {
	list := &libvirtxml.DomainDeviceList{}
	for _, disk := range vm.Disks {
		d := libvirtxml.DomainDisk{
			Device: "disk",
			Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: disk.Format, Discard: "unmap"},
			Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: disk.File}},
			Target: &libvirtxml.DomainDiskTarget{Dev: disk.Device, Bus: disk.Bus},
		}
		if disk.Boot {
			d.Boot = &libvirtxml.DomainDeviceBoot{Order: 1}
		}
		list.Disks = append(list.Disks, d)
	}
	for _, nic := range vm.NICs {
		i := libvirtxml.DomainInterface{
			Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "default"}},
			Model:  &libvirtxml.DomainInterfaceModel{Type: nic.Model},
		}
		if nic.MAC != "" {
			i.MAC = &libvirtxml.DomainInterfaceMAC{Address: nic.MAC}
		}
		list.Interfaces = append(list.Interfaces, i)
	}
	if vm.Console {
		list.Serials = []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}}}
		port := uint(0)
		list.Consoles = []libvirtxml.DomainConsole{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: &port},
		}}
	}
	list.RNGs = []libvirtxml.DomainRNG{{
		Model:   "virtio",
		Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
	}}
	return list
}
