package convert

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/ova"
	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/xva"
)

// Appliance is a kind of file that holds a whole machine, its description and
// all of its disks.
type Appliance string

const (
	NoAppliance Appliance = ""
	OVA         Appliance = "ova"
	XVA         Appliance = "xva"
)

// Appliances are all kinds.
func Appliances() []Appliance { return []Appliance{OVA, XVA} }

// writeAppliance writes a machine as one file.
func (p *Prepared) writeAppliance(ctx context.Context, dst Destination, outs Outputs) error {
	sink, err := outs.Create(dst.Path)
	if err != nil {
		return err
	}
	if dst.Appliance == XVA {
		return p.writeXVA(ctx, dst, sink)
	}
	return p.writeOVA(ctx, dst, sink)
}

// writeOVA has devices in it that every importer and every guest knows.
func (p *Prepared) writeOVA(ctx context.Context, dst Destination, sink imagefmt.Sink) error {
	vm := p.describe(dst)
	stem := strings.TrimSuffix(filepath.Base(dst.Path), filepath.Ext(dst.Path))
	vm.Disks = nil
	for i, d := range p.Request.Disks {
		vm.Disks = append(vm.Disks, vmdef.Disk{
			Place: vmdef.Place{Bus: "sata", Model: "ahci", Unit: i},
			File:  fmt.Sprintf("%s-disk%d.vmdk", stem, i+1), Size: d.Overlay.Size(),
		})
	}
	for i := range vm.NICs {
		if m := vm.NICs[i].Model; m != "e1000e" && m != "vmxnet3" {
			vm.NICs[i].Model = "e1000"
		}
	}
	w, err := ova.NewWriter(sink, stem, vm, dst.Disks[0].Options.Now)
	if err != nil {
		return err
	}
	for i, d := range p.Request.Disks {
		if err := p.writeMember(ctx, w, i, d, dst.Disks[i]); err != nil {
			w.Abort()
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return w.Finish(ctx)
}

func (p *Prepared) writeMember(ctx context.Context, w *ova.Writer, i int, src Disk, dst DiskFile) error {
	member, err := w.Disk(i)
	if err != nil {
		return err
	}
	populated, err := dataBytes(ctx, src.Overlay)
	if err != nil {
		return err
	}
	w.SetPopulated(i, populated)
	return p.writeImage(ctx, src, dst, member)
}

// writeXVA writes the disks in the order of the description.
func (p *Prepared) writeXVA(ctx context.Context, dst Destination, sink imagefmt.Sink) error {
	vm := p.describe(dst)
	d := xva.Description{
		Name: vm.Name, Text: vm.Title, Memory: vm.Memory, VCPUs: vm.CPUs.Count, HVM: true, Firmware: "bios", BootOrder: "cd",
		SecureBoot: vm.SecureBoot,
	}
	if vm.Firmware == "efi" {
		d.Firmware = "uefi"
	}
	for i, disk := range p.Request.Disks {
		d.Disks = append(d.Disks, xva.Disk{Name: fmt.Sprintf("%s %d", vm.Name, i), Size: disk.Overlay.Size(), Device: fmt.Sprint(i), Bootable: i == 0})
	}
	for i, nic := range vm.NICs {
		d.NICs = append(d.NICs, xva.NIC{MAC: nic.MAC, Network: nic.Network, Device: fmt.Sprint(i)})
	}
	w, err := xva.NewWriter(ctx, sink, d, xva.WriterOptions{Now: dst.Disks[0].Options.Now})
	if err != nil {
		return err
	}
	for _, src := range p.Request.Disks {
		if err := p.writeChunks(ctx, w, src); err != nil {
			w.Abort()
			return fmt.Errorf("%s: %w", src.Name, err)
		}
	}
	return w.Finish(ctx)
}

func (p *Prepared) writeChunks(ctx context.Context, w *xva.MachineWriter, src Disk) error {
	disk, err := w.Disk()
	if err != nil {
		return err
	}
	if err := Copy(ctx, disk, src.Overlay, false, p.Request.Watch); err != nil {
		disk.Abort()
		return err
	}
	return disk.Finish(ctx)
}

// describe is the machine in an appliance: what its source says, what its disks
// say where they were looked at, and what has to be said all the same.
func (p *Prepared) describe(dst Destination) vmdef.VM {
	vm := p.Request.VM
	if dst.Target != nil {
		vm = machine(dst.Name, *dst.Target, p.After, nil)
		carry(&vm, p.Request.VM)
	}
	vm.Name = dst.Name
	if vm.Memory == 0 {
		vm.Memory = defaultMemory
	}
	if vm.CPUs.Count == 0 {
		vm.CPUs.Count = 1
	}
	if len(vm.NICs) == 0 {
		vm.NICs = []vmdef.NIC{{}}
	}
	return vm
}

// defaultMemory is for a machine whose memory nobody knows, in bytes.
const defaultMemory = 2 << 30
