// Package volume finds the volumes of disks: partitions, logical volumes, arrays
// and what is encrypted. Each kind is a [Mapper] in a folder below; [Discover]
// applies them until nothing new appears.
package volume

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Volume is a device that may hold a filesystem: a whole disk, a partition, a
// logical volume.
type Volume struct {
	// ID names it in this run: "sda" and "sda1" for the first disk and its
	// first partition, as virt-tools count them; "vg/lv"; "md/name".
	ID string
	// Names are other names that a running guest has for it: "/dev/mapper/vg-lv".
	Names  []string
	Kind   string // "disk", "mbr", "gpt", "lvm", "md", "luks"
	Disk   int    // index of the disk it lies on, or begins on, from 0
	Number int    // partition number in its table, from 1; 0 for a whole disk, -1 for others
	// UUID identifies it in its table: a GPT unique GUID, or an MBR disk id and
	// number ("4f1c7d2a-01"); lower case. For a disk: the table's own id.
	UUID     string
	Label    string // GPT name
	Type     string // GPT type GUID in lower case, or MBR type as two hex digits
	Bootable bool   // MBR active flag, GPT legacy BIOS bootable
	Off, Len int64  // bytes on its parent
	Parent   string // ID of the volume it was found in; "" for a disk
	// Members are the IDs of the volumes that it is made of, Parent first, when
	// it is no plain range of Parent.
	Members []string
	// On are the members as Map was given them: indexes of devs. Only mappers
	// that are no [Table] set it.
	On []int
	// Spans tells where bytes lie on the members, on each leg of a mirror: all of
	// the runs that hold nothing but bytes of the range. It leaves out what has no
	// place of its own. Nil when the volume lies at Off of Parent.
	Spans func(off, n int64) []Span
	// Whole says that the kernel looks for a partition table in it.
	Whole bool
	// Claimed is the mapper that the volume is a member for; such a one is no
	// filesystem, whatever it looks like.
	Claimed string
	// Unused are the bytes that its claimant gives to no volume, ascending.
	Unused []Span
	// Locked is why its claimant could not open it: a [KeyError] where a key is
	// missing, or an encryption that is not known. Nil for all others.
	Locked error
	Device blockdev.Device
}

// Span is a run of bytes on one of several devices: the members of a volume, or
// what Map was given.
type Span struct {
	Member   int
	Off, Len int64
}

// Mapper finds volumes in volumes.
type Mapper interface {
	Name() string
	Probe(dev blockdev.Device) (ondisk.Match, error)
	// Map returns the volumes inside devs; several, since a volume group or an
	// array spans them. Parents are filled in by the caller, and IDs that count.
	Map(ctx context.Context, devs []blockdev.Device, opts Options) ([]Volume, error)
}

// Options are the same for every mapper.
type Options struct {
	Limits ondisk.Limits
	// Notice hears of what was tolerated: a backup table used, a partition that
	// ends beyond the disk and was left out.
	Notice func(text string)
	// Unused hears of bytes of devs that no volume lies on, each once.
	Unused func(Span)
	// Members are what devs are, for their names; nil when nobody knows.
	Members []Volume
	// Keys opens what is encrypted.
	Keys *Keyring
	// Locked hears of what was not opened, by its index in devs; see [Volume.Locked].
	Locked func(member int, why error)
}
