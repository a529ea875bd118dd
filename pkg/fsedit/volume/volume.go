// Package volume finds the volumes of a disk: partitions, and later logical
// volumes, arrays and unlocked encryption. Each kind is a [Mapper] in a folder
// below; [Discover] applies them until nothing new appears.
package volume

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Volume is a device that may hold a filesystem: a whole disk, a partition.
type Volume struct {
	// ID names it in this run: "sda" and "sda1" for the first disk and its
	// first partition, as virt-tools count them.
	ID     string
	Kind   string // "disk", "mbr", "gpt"
	Disk   int    // index of the disk it lies on, from 0
	Number int    // partition number in its table, from 1; 0 for a whole disk
	// UUID identifies it in its table: a GPT unique GUID, or an MBR disk id and
	// number ("4f1c7d2a-01"); lower case. For a disk: the table's own id.
	UUID     string
	Label    string // GPT name
	Type     string // GPT type GUID in lower case, or MBR type as two hex digits
	Bootable bool   // MBR active flag, GPT legacy BIOS bootable
	Off, Len int64  // bytes on its parent
	Parent   string // ID of the volume it was found in; "" for a disk
	Device   blockdev.Device
}

// Mapper finds volumes in volumes.
type Mapper interface {
	Name() string
	Probe(dev blockdev.Device) (ondisk.Match, error)
	// Map returns the volumes inside devs; several, since a volume group or an
	// array spans them. IDs and parents are filled in by the caller.
	Map(ctx context.Context, devs []blockdev.Device, opts Options) ([]Volume, error)
}

// Options are the same for every mapper.
type Options struct {
	Limits ondisk.Limits
	// Notice hears of what was tolerated: a backup table used, a partition that
	// ends beyond the disk and was left out.
	Notice func(text string)
}
