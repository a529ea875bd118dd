package fat

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Driver reads and edits FAT12, FAT16 and FAT32.
type Driver struct{}

var _ filesys.Driver = Driver{}

func (Driver) Name() string { return layer }

// Probe reads the boot sector. FAT has no magic number: a parameter block that
// makes sense must be confirmed by the name of the type, or by a table that
// begins as tables do. Boot code, and the boot sectors of other filesystems, fail
// that.
func (Driver) Probe(dev blockdev.Device) (ondisk.Match, filesys.Ident, error) {
	b, err := readBoot(dev)
	if errors.Is(err, ondisk.ErrFormat) {
		return ondisk.None, filesys.Ident{}, nil
	}
	if err != nil {
		return ondisk.None, filesys.Ident{}, err
	}
	geo, err := b.geometry(dev.Size())
	if err != nil {
		if b.named() {
			return ondisk.Maybe, filesys.Ident{Type: "vfat", UUID: b.uuid(), Size: b.sectors() * int64(b.SectorSize)}, nil
		}
		return ondisk.None, filesys.Ident{}, nil
	}
	if !b.named() {
		var head [3]byte
		if err := ondisk.Full(dev, head[:], geo.fatOff); err != nil {
			return ondisk.None, filesys.Ident{}, err
		}
		if head[0] != b.Media || head[1] != 0xFF || head[2] != 0xFF {
			return ondisk.None, filesys.Ident{}, nil
		}
	}
	return ondisk.Sure, openVolume(dev, ondisk.Limits{}, b, geo).Ident(), nil
}

// Open reads the boot sector of the one member.
func (Driver) Open(ctx context.Context, members []blockdev.Device, opts filesys.Options) (filesys.Volume, error) {
	if len(members) != 1 {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("%d members, FAT has one", len(members))
	}
	v, err := newVolume(members[0], opts.Limits)
	if err != nil {
		return nil, err
	}
	return v, ctx.Err()
}
