package machine

import (
	"context"
	"fmt"
	"strconv"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/xva"
)

// openXVA opens an export of XenServer. Its disks are images in pieces, and can
// be nothing but raw.
func (m *Machine) openXVA(ctx context.Context, src imagefmt.Source, o Options) error {
	archive, err := xva.Index(ctx, src, o.Image.Limits)
	if err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	m.VM = fromXVA(archive.Description)
	for i, d := range archive.Description.Disks {
		img, err := archive.Disk(ctx, d.Ref)
		if err != nil {
			return fmt.Errorf("%s: disk %d: %w", src.Name(), i+1, err)
		}
		m.Disks = append(m.Disks, Disk{Name: fmt.Sprintf("%s: %s", src.Name(), d.Ref), Image: img})
	}
	if len(m.Disks) == 0 {
		return ondisk.Because(ondisk.ErrUnsupported, "%s holds a machine without disks", src.Name())
	}
	m.src = src
	return nil
}

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
