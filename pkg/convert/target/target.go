// Package target describes hypervisors and clouds as data: what disk, buses,
// drivers and kernel arguments each of them wants. Adding one is adding a value
// to [All], not control flow.
package target

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Target is one destination of a conversion.
type Target struct {
	Name        string   `json:"name"` // word for --to
	Title       string   `json:"title"`
	DiskFormat  string   `json:"disk_format"`  // when the user names none
	DiskFormats []string `json:"disk_formats"` // that it takes
	DiskBus     string   `json:"disk_bus"`     // "virtio"
	DiskPrefix  string   `json:"disk_prefix"`  // "vd": the guest's names for its disks
	NICModel    string   `json:"nic_model"`
	NICDriver   string   `json:"nic_driver"`
	Console     string   `json:"console"` // serial device in the guest
	Drivers     []Driver `json:"drivers"`
	DropArgs    []string `json:"drop_args,omitempty"` // kernel arguments of other hypervisors
	Description string   `json:"description"`         // kind of VM description: "libvirt"
}

// Driver is a kernel module that a guest needs there.
type Driver struct {
	Module   string `json:"module"`
	Required bool   `json:"required"` // no boot without it
	Why      string `json:"why"`
}

var xenArgs = []string{
	"earlyprintk=xen", "earlycon=xenboot", "xen_emul_unplug", "xen_blkfront.max", "xencons",
	"clocksource=xen", "independent_wallclock", "xen_pv_domain",
}

// All are the known targets, by name.
func All() []Target {
	return []Target{
		{
			Name:        "kvm",
			Title:       "KVM by libvirt, QEMU",
			DiskFormat:  "qcow2",
			DiskFormats: []string{"qcow2", "raw"},
			DiskBus:     "virtio",
			DiskPrefix:  "vd",
			NICModel:    "virtio",
			NICDriver:   "virtio_net",
			Console:     "ttyS0",
			Drivers: []Driver{
				{Module: "virtio_pci", Required: true, Why: "finds every virtio device"},
				{Module: "virtio_blk", Required: true, Why: "the disk"},
				{Module: "virtio_scsi", Why: "disks on a virtio-scsi controller"},
				{Module: "virtio_net", Why: "the network card, should the initramfs need it"},
			},
			DropArgs:    xenArgs,
			Description: "libvirt",
		},
	}
}

// Lookup finds a target by name.
func Lookup(name string) (Target, error) {
	all := All()
	i := slices.IndexFunc(all, func(t Target) bool { return t.Name == strings.ToLower(name) })
	if i < 0 {
		names := make([]string, len(all))
		for j, t := range all {
			names[j] = t.Name
		}
		return Target{}, ondisk.Because(ondisk.ErrUnsupported, "unknown target %q (known: %s)", name, strings.Join(names, ", "))
	}
	return all[i], nil
}

// DiskName is the guest's name of the disk with an index, from 0: "vda", "vdaa".
func (t Target) DiskName(index int) string {
	letters := ""
	for i := index; i >= 0; i = i/26 - 1 {
		letters = fmt.Sprintf("%c%s", 'a'+i%26, letters)
	}
	return t.DiskPrefix + letters
}
