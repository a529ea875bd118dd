package vhdx

import (
	"bytes"
	"errors"
	"math"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// region is a part of the file that is no payload.
type region struct {
	name   string
	off, n int64
}

func (r region) end() int64 { return r.off + r.n }

func (r region) overlaps(off, n int64) bool {
	return r.n > 0 && n > 0 && off < r.end() && r.off < off+n
}

// check wants whole MiB, outside the fixed area and inside the file.
func (r region) check(at ondisk.Place, size int64) error {
	at = at.In("%s", r.name)
	switch {
	case r.off < fixedArea || r.off%mib != 0 || r.n <= 0 || r.n%mib != 0:
		return at.Corrupt("%#x bytes at %#x are not whole MiB behind the headers", r.n, r.off)
	case !ondisk.InRange(r.off, r.n, size):
		return at.Corrupt("%#x bytes at %#x end beyond the end of the file (%d bytes); the image is truncated", r.n, r.off, size)
	}
	return nil
}

// regions says where everything but the payload lies.
type regions struct {
	bat, metadata, log region
}

// overlap names the region that the n bytes from off share bytes with.
func (r *regions) overlap(off, n int64) (string, bool) {
	if off < fixedArea {
		return "headers", true
	}
	for _, x := range [...]region{r.bat, r.metadata, r.log} {
		if x.overlaps(off, n) {
			return x.name, true
		}
	}
	return "", false
}

// readRegions reads the first region table that is valid ([MS-VHDX] 2.2.3).
// same reports that the other one is equal.
func readRegions(dev blockdev.Device, h *header) (r *regions, same bool, err error) {
	a, errA := loadRegionTable(dev, regionOffset1)
	b, errB := loadRegionTable(dev, regionOffset2)
	if err := errors.Join(failure(errA), failure(errB)); err != nil {
		return nil, false, err
	}
	table, off := a, int64(regionOffset1)
	if errA != nil {
		if errB != nil {
			return nil, false, errA
		}
		table, off = b, regionOffset2
	}
	r, err = parseRegions(table, off, dev.Size(), h)
	return r, errA == nil && errB == nil && bytes.Equal(a, b), err
}

func loadRegionTable(dev blockdev.Device, off int64) ([]byte, error) {
	at := ondisk.At(layer, "region table", off)
	p, err := ondisk.Bytes(dev, off, regionSize)
	if err != nil {
		return nil, at.Wrap(err)
	}
	t := decode[diskRegionTable](p)
	if t.Magic != regionMagic {
		return nil, at.Corrupt("it has no signature")
	}
	if !sealed(p) {
		return nil, at.Corrupt("wrong checksum")
	}
	if t.Count > maxTableEntries {
		return nil, at.Corrupt("%d entries; at most %d are possible", t.Count, maxTableEntries)
	}
	return p, nil
}

func parseRegions(table []byte, off, size int64, h *header) (*regions, error) {
	at := ondisk.At(layer, "region table", off)
	r := &regions{log: h.log()}
	for i := range decode[diskRegionTable](table).Count {
		e := decode[diskRegion](table[16+i*32:])
		var dst *region
		switch e.ID {
		case regionBAT:
			dst = &r.bat
			dst.name = "BAT"
		case regionMetadata:
			dst = &r.metadata
			dst.name = "metadata"
		default:
			if e.Required&1 != 0 {
				return nil, at.In("entry %d", i).Unsupported("the region %v is required and not known", e.ID)
			}
			continue
		}
		if dst.n != 0 || e.Offset > math.MaxInt64 {
			return nil, at.In("entry %d", i).Corrupt("a second %s, or one at %#x", dst.name, e.Offset)
		}
		dst.off, dst.n = int64(e.Offset), int64(e.Length)
		if err := dst.check(at, size); err != nil {
			return nil, err
		}
	}
	return r, r.check(at)
}

func (r *regions) check(at ondisk.Place) error {
	if r.bat.n == 0 || r.metadata.n == 0 {
		return at.Corrupt("there is no BAT or no metadata")
	}
	for _, p := range [...][2]region{{r.bat, r.metadata}, {r.bat, r.log}, {r.metadata, r.log}} {
		if p[0].overlaps(p[1].off, p[1].n) {
			return at.Corrupt("%s and %s overlap", p[0].name, p[1].name)
		}
	}
	return nil
}
