package mbr

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxLinks bounds one chain of logical partitions.
const maxLinks = 128

// table collects the partitions of one disk.
type table struct {
	ctx    context.Context
	dev    blockdev.Device
	unit   int64 // bytes of a sector
	diskID uint32
	notice func(string)
	next   int // number of the next logical partition
	found  []volume.Volume
}

// add records e, whose start counts from base (in sectors), as partition number.
func (t *table) add(e entry, base int64, number int) {
	off, n := (base+int64(e.Start))*t.unit, int64(e.Sectors)*t.unit
	dev, err := blockdev.NewSection(t.dev, off, n)
	if err != nil {
		t.notice(fmt.Sprintf("partition %d ends at %d, beyond the disk of %d bytes: left out", number, off+n, t.dev.Size()))
		return
	}
	v := volume.Volume{
		Kind: "mbr", Number: number, Type: fmt.Sprintf("%02x", e.Type),
		Bootable: e.Status == 0x80, Off: off, Len: n, Device: dev,
	}
	if t.diskID != 0 {
		v.UUID = fmt.Sprintf("%08x-%02x", t.diskID, number)
	}
	t.found = append(t.found, v)
}

// walk follows the chain of EBRs in an extended partition. Trouble ends the
// chain with a notice: the partitions before it are good.
func (t *table) walk(ext entry) error {
	seen := map[int64]bool{}
	for at := int64(ext.Start); len(seen) < maxLinks; {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if seen[at] {
			t.notice(fmt.Sprintf("chain of logical partitions comes back to sector %d", at))
			return nil
		}
		seen[at] = true
		s, ok, err := readSector(t.dev, at*t.unit)
		if err != nil {
			return ondisk.At("mbr", "EBR", at*t.unit).Wrap(err)
		}
		if !ok {
			t.notice(fmt.Sprintf("chain of logical partitions ends in sector %d, which holds no table", at))
			return nil
		}
		link, more := t.logical(s, at)
		if !more {
			return nil
		}
		at = int64(ext.Start) + int64(link)
	}
	t.notice(fmt.Sprintf("more than %d logical partitions in a chain: the rest is left out", maxLinks))
	return nil
}

// logical adds the data entries of the EBR in sector at and returns its link.
func (t *table) logical(s sector, at int64) (link uint32, more bool) {
	for _, e := range s.entries {
		switch {
		case e.empty():
		case !e.extended():
			t.add(e, at, t.next)
			t.next++
		case !more:
			link, more = e.Start, true
		}
	}
	return link, more
}
