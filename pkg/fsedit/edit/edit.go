package edit

import (
	"context"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Edit is one concern: device names, the boot loader, the initramfs.
type Edit interface {
	Name() string // "fstab", "grub2": the word in reports
	// Applies looks at facts only.
	Applies(f *guest.Facts) bool
	// Plan stages changes. An error is a required edit that cannot be done.
	Plan(ctx context.Context, s *Staged, job Job) error
}

// Job is what the edits work towards.
type Job struct {
	Facts  *guest.Facts
	Needs  Needs
	Limits ondisk.Limits
	// Firmware is what the source says that the machine has, guest.BIOS or
	// guest.UEFI; empty: the disks decide.
	Firmware string
	// SecureBoot: the machine's firmware refuses loaders that nobody signed.
	SecureBoot bool
}

// UEFI reports whether the target will start the guest by UEFI.
func (j Job) UEFI() bool {
	kind := j.Firmware
	if kind == "" {
		kind, _ = j.Facts.Firmware.Choose()
	}
	return kind == guest.UEFI
}

// Needs is what the targets of a conversion demand of a guest: the union of
// them, as data. The zero value demands nothing.
type Needs struct {
	// Drivers are kernel modules that the initramfs must hold, by canonical name
	// ("virtio_blk"), their dependencies being found by the edit. A driver that a
	// kernel lacks entirely is an error when Required, else a warning.
	Drivers []Driver
	// DiskName names the disk of an index on the target: 0 → "vda".
	DiskName func(index int) string
	// Console is the serial console's device: "ttyS0"; empty when there is none.
	Console string
	// Args are kernel arguments that must be on the command line of every entry,
	// and DropArgs are keys that must not.
	Args, DropArgs []string
	// NICDriver is the network driver: "virtio_net".
	NICDriver string
}

// Driver is one entry of [Needs.Drivers].
type Driver struct {
	Module   string
	Required bool
	Why      string // "the disk's bus on kvm"
}
