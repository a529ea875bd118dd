package mbr

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Mapper reads PC partition tables. It is a stateless value.
type Mapper struct{}

var _ volume.Table = Mapper{}

func (Mapper) Name() string { return "mbr" }

// Probe is Sure of a table with entries that lie inside the disk and do not
// overlap, and Maybe of any other: a filesystem that owns the disk outweighs it.
func (Mapper) Probe(dev blockdev.Device) (ondisk.Match, error) {
	s, ok, err := readSector(dev, 0)
	switch {
	case err != nil || !ok:
		return ondisk.None, err
	case s.sane(sectorSize(dev, s), dev.Size()):
		return ondisk.Sure, nil
	default:
		return ondisk.Maybe, nil
	}
}

// DiskID is the disk signature as eight hex digits.
func (Mapper) DiskID(dev blockdev.Device) (string, error) {
	s, ok, err := readSector(dev, 0)
	if err != nil || !ok || s.diskID == 0 {
		return "", err
	}
	return fmt.Sprintf("%08x", s.diskID), nil
}

// Map returns the primary partitions in the order of their slots, then the
// logical ones. It takes one device.
func (Mapper) Map(ctx context.Context, devs []blockdev.Device, opts volume.Options) ([]volume.Volume, error) {
	if len(devs) != 1 {
		return nil, fmt.Errorf("mbr: %d devices, a table lies on one", len(devs))
	}
	dev := devs[0]
	s, ok, err := readSector(dev, 0)
	if err != nil {
		return nil, err
	}
	place := ondisk.At("mbr", "partition table", 0)
	if !ok {
		return nil, place.Format("no signature")
	}
	if s.protective() {
		return nil, place.Corrupt("it protects a GPT, and neither copy of that can be read")
	}
	t := table{ctx: ctx, dev: dev, unit: sectorSize(dev, s), diskID: s.diskID, notice: opts.Notice, next: slots + 1}
	if t.notice == nil {
		t.notice = func(string) {}
	}
	for i, e := range s.entries {
		if !e.empty() && !e.extended() {
			t.add(e, 0, i+1)
		}
	}
	for _, e := range s.entries {
		if !e.empty() && e.extended() {
			if err := t.walk(e); err != nil {
				return nil, err
			}
		}
	}
	return t.found, nil
}

// readSector decodes the table at a byte offset; false when there is none.
func readSector(dev blockdev.Device, off int64) (sector, bool, error) {
	if !ondisk.InRange(off, sectorLen, dev.Size()) {
		return sector{}, false, nil
	}
	var p [sectorLen]byte
	if err := ondisk.Full(dev, p[:], off); err != nil {
		return sector{}, false, err
	}
	s, ok := decode(p[:])
	return s, ok, nil
}

// sectorSize is the unit of the table's numbers. An image file does not know the
// sectors of the disk it came from; then the place of the first EBR tells.
func sectorSize(dev blockdev.Device, s sector) int64 {
	if logical, _ := blockdev.SectorSize(dev); logical > sectorLen {
		return int64(logical)
	}
	for _, e := range s.entries {
		if e.empty() || !e.extended() {
			continue
		}
		if chained(dev, int64(e.Start)*512) {
			return 512
		}
		if chained(dev, int64(e.Start)*4096) {
			return 4096
		}
	}
	return 512
}

// chained reports whether an EBR lies at off. A disk that cannot be read there
// says so again when the chain is walked.
func chained(dev blockdev.Device, off int64) bool {
	_, ok, err := readSector(dev, off)
	return err == nil && ok
}
