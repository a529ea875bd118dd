package vmdef

import (
	"encoding/xml"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ParseLibvirt reads a domain of libvirt, <https://libvirt.org/formatdomain.html>.
// Disks that are no file or block device get a Remote.
func ParseLibvirt(data []byte, limits ondisk.Limits) (VM, []string, error) {
	root, text, err := parseXML("libvirt", data, limits.OrDefault())
	if err != nil {
		return VM{}, nil, err
	}
	at := ondisk.At("libvirt", "document", ondisk.NoOffset)
	if root.name != "domain" {
		return VM{}, nil, at.Format("the root element is %s, not domain", short(root.name))
	}
	d := &libvirtxml.Domain{}
	if err := xml.Unmarshal(text, d); err != nil {
		return VM{}, nil, at.Corrupt("%v", err)
	}
	r := &libvirtReader{domain: d}
	if err := r.read(root); err != nil {
		return VM{}, nil, err
	}
	return r.vm, r.warn.list, nil
}

type libvirtReader struct {
	domain *libvirtxml.Domain
	vm     VM
	warn   warnings
}

func (r *libvirtReader) read(root *element) error {
	d, vm := r.domain, &r.vm
	vm.Name, vm.Title = d.Name, d.Title
	vm.UUID = strings.ToLower(strings.TrimSpace(d.UUID))
	vm.OSID = root.child("metadata").child("libosinfo").child("os").attr("id")
	if d.GenID != nil {
		vm.GenID = strings.TrimSpace(d.GenID.Value)
	}
	r.cpusAndMemory()
	if err := r.osType(); err != nil {
		return err
	}
	r.firmware()
	r.serial()
	if d.Devices != nil {
		r.devices(d.Devices)
	}
	r.bootOrder()
	r.unknown(root)
	return nil
}

func (r *libvirtReader) cpusAndMemory() {
	if m := r.domain.Memory; m != nil {
		r.vm.Memory = r.bytes(uint64(m.Value), m.Unit)
	}
	if v := r.domain.VCPU; v != nil && v.Value <= maxCPUs {
		r.vm.CPUs.Count = int(v.Value)
	}
	if c := r.domain.CPU; c != nil && c.Topology != nil {
		per := 1
		for _, n := range []int{c.Topology.Dies, c.Topology.Clusters, c.Topology.Cores, c.Topology.Threads} {
			if n > 1 && n <= maxCPUs/per {
				per *= n
			}
		}
		if c.Topology.Sockets > 0 && c.Topology.Sockets <= maxCPUs {
			r.vm.CPUs.Sockets, r.vm.CPUs.CoresPerSocket = c.Topology.Sockets, per
		}
	}
	r.vm.CPUs = r.vm.CPUs.spread()
}

// bytes is a scaled integer of libvirt; without a unit it counts KiB.
func (r *libvirtReader) bytes(value uint64, unit string) int64 {
	scale, known := map[string]int64{
		"b": 1, "bytes": 1, "KB": 1000, "": 1 << 10, "k": 1 << 10, "K": 1 << 10, "KiB": 1 << 10,
		"MB": 1e6, "M": 1 << 20, "MiB": 1 << 20, "GB": 1e9, "G": 1 << 30, "GiB": 1 << 30,
		"TB": 1e12, "T": 1 << 40, "TiB": 1 << 40,
	}[unit]
	n, ok := ondisk.MulOK(int64(value), scale)
	if !known || !ok {
		r.warn.add("memory of %d %s is not understood", value, short(unit))
		return 0
	}
	return n
}

func (r *libvirtReader) osType() error {
	os := r.domain.OS
	if os == nil {
		os = &libvirtxml.DomainOS{}
		r.domain.OS = os
	}
	if os.Type == nil {
		os.Type = &libvirtxml.DomainOSType{}
	}
	r.vm.Arch, r.vm.Machine = os.Type.Arch, machineFamily(os.Type.Machine)
	switch kind := strings.TrimSpace(os.Type.Type); kind {
	case "hvm", "":
		if r.domain.Type == "xen" && kind != "" {
			r.vm.Virt = "hvm"
		}
	case "xen", "linux":
		r.vm.Virt = "pv"
	case "xenpvh":
		r.vm.Virt = "pvh"
	case "exe":
		return ondisk.At("libvirt", "os", ondisk.NoOffset).In("type").Unsupported("a container is no machine")
	default:
		r.warn.add("os type %s is not understood", short(kind))
	}
	if r.domain.Bootloader != "" && r.vm.Virt == "" {
		r.vm.Virt = "pv"
	}
	if os.Kernel != "" {
		r.vm.Kernel = &Kernel{Image: os.Kernel, Initramfs: os.Initrd, Args: os.Cmdline}
	}
	return nil
}

// machineFamily drops the version of a machine type of QEMU, which another host
// need not have.
func machineFamily(machine string) string {
	for _, family := range []string{"q35", "virt"} {
		if machine == family || strings.HasPrefix(machine, "pc-"+family) || strings.HasPrefix(machine, family+"-") {
			return family
		}
	}
	if strings.HasPrefix(machine, "pc-i440fx") || strings.HasPrefix(machine, "pc-0.") || strings.HasPrefix(machine, "pc-1.") {
		return "pc"
	}
	return machine
}

func (r *libvirtReader) firmware() {
	os := r.domain.OS
	r.vm.Firmware = os.Firmware
	if l := os.Loader; l != nil {
		path := strings.ToLower(l.Path)
		switch {
		case os.Firmware != "":
		case l.Type == "pflash", strings.Contains(path, "ovmf"), strings.Contains(path, "aavmf"), strings.Contains(path, "edk2"):
			r.vm.Firmware = "efi"
		case l.Type == "rom", strings.Contains(path, "hvmloader"):
			r.vm.Firmware = "bios"
		}
		r.vm.SecureBoot = l.Secure == "yes"
	}
	if info := os.FirmwareInfo; info != nil {
		for _, f := range info.Features {
			r.vm.SecureBoot = r.vm.SecureBoot || f.Name == "secure-boot" && f.Enabled == "yes"
		}
	}
	if n := os.NVRam; n != nil {
		r.vm.NVRAM = strings.TrimSpace(n.NVRam)
		if n.Source != nil && n.Source.File != nil {
			r.vm.NVRAM = n.Source.File.File
		}
	}
}

func (r *libvirtReader) serial() {
	for _, info := range r.domain.SysInfo {
		if info.SMBIOS == nil || info.SMBIOS.System == nil {
			continue
		}
		for _, entry := range info.SMBIOS.System.Entry {
			if entry.Name == "serial" {
				r.vm.Serial = strings.TrimSpace(entry.Value)
			}
		}
	}
}

// bootOrder applies the old list of kinds of devices, unless devices have orders
// of their own: the first device of a kind takes the place.
func (r *libvirtReader) bootOrder() {
	first := map[string]*Place{}
	for i := range r.vm.Removables {
		if drive := &r.vm.Removables[i]; first[drive.Kind] == nil {
			first[drive.Kind] = &drive.Place
		}
	}
	if len(r.vm.Disks) > 0 {
		first["disk"] = &r.vm.Disks[0].Place
	}
	kinds := map[string]string{"hd": "disk", "cdrom": "cdrom", "fd": "floppy"}
	for i, dev := range r.domain.OS.BootDevices {
		if place := first[kinds[dev.Dev]]; place != nil && place.Boot == 0 {
			place.Boot = i + 1
		}
	}
}

// quiet are the elements that are read, or that every host has its own of.
var quiet = map[string]bool{
	"name": true, "uuid": true, "genid": true, "title": true, "description": true, "metadata": true, "memory": true,
	"currentMemory": true, "vcpu": true, "vcpus": true, "cpu": true, "os": true, "bootloader": true, "features": true, "clock": true,
	"on_poweroff": true, "on_reboot": true, "on_crash": true, "pm": true, "devices": true, "sysinfo": true, "resource": true,
	"seclabel": true, "cputune": true, "iothreads": true, "maxMemory": true,
	"emulator": true, "disk": true, "interface": true, "controller": true, "tpm": true, "serial": true, "console": true,
	"channel": true, "input": true, "graphics": true, "video": true, "audio": true, "sound": true, "memballoon": true,
	"rng": true, "panic": true, "watchdog": true, "redirdev": true, "hub": true, "vmcoreinfo": true,
}

// unknown names what the machine has and the neutral form cannot hold.
func (r *libvirtReader) unknown(root *element) {
	for _, e := range slices.Concat(root.children, root.child("devices").children) {
		if !quiet[e.name] {
			r.warn.add("line %d: element %s is not carried over", e.line, short(e.name))
		}
	}
}
