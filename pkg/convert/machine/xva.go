package machine

import (
	"context"
	"strconv"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/xva"
)

// loadXVA reads the description in an export of XenServer.
func (m *Machine) loadXVA(ctx context.Context, src imagefmt.Source, o Options) (err error) {
	if m.export, err = xva.Index(ctx, src, o.Image.Limits); err != nil {
		return err
	}
	m.VM = fromXVA(m.export.Description)
	return nil
}

// openExported opens the disks of an export. They are images in pieces, and can
// be nothing but raw.
func (m *Machine) openExported(ctx context.Context) error {
	for i, d := range m.VM.Disks {
		img, err := m.export.Disk(ctx, d.File)
		if err != nil {
			return diskError(i, d, err)
		}
		m.Disks = append(m.Disks, Disk{Name: d.File, Image: img})
	}
	if len(m.Disks) == 0 {
		return ondisk.Because(ondisk.ErrUnsupported, "it describes a machine without disks")
	}
	return nil
}

// fromXVA is the neutral form of the description; a disk's file is its reference.
func fromXVA(d xva.Description) vmdef.VM {
	vm := vmdef.VM{
		Name: d.Name, UUID: d.UUID, Memory: d.Memory, CPUs: vmdef.CPUs{Count: d.VCPUs},
		SecureBoot: d.SecureBoot, Virt: "pv",
	}
	if d.HVM {
		vm.Virt, vm.Firmware = "hvm", "bios"
	}
	if d.Firmware == "uefi" {
		vm.Firmware = "efi"
	}
	if cores, err := strconv.Atoi(d.Platform["cores-per-socket"]); err == nil && cores > 0 && d.VCPUs%cores == 0 {
		vm.CPUs.CoresPerSocket, vm.CPUs.Sockets = cores, d.VCPUs/cores
	}
	for _, disk := range d.Disks {
		place := vmdef.Place{Bus: "xen", Device: disk.Device}
		if disk.Bootable {
			place.Boot = 1
		}
		vm.Disks = append(vm.Disks, vmdef.Disk{Place: place, File: disk.Ref, Format: "raw", Size: disk.Size, ReadOnly: disk.ReadOnly})
	}
	for _, nic := range d.NICs {
		network := nic.Network
		if network == "" {
			network = nic.Bridge
		}
		vm.NICs = append(vm.NICs, vmdef.NIC{MAC: nic.MAC, Model: "netfront", Network: network})
	}
	return vm
}
