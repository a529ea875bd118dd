package gpt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// sectorSizes are those that a table may be written for.
var sectorSizes = [...]int64{512, 4096}

// copyOf is one of the two copies of a table, verified.
type copyOf struct {
	header  header
	entries []byte
	unit    int64 // bytes of a sector
	backup  bool
	why     error // what is wrong with the primary, for a backup
}

// load finds the copy to use: the primary if it is good, else the backup. The
// error is that of the primary; [ondisk.ErrFormat] when there is no trace of a
// table at all.
func load(dev blockdev.Device) (copyOf, error) {
	var first error
	hints := [len(sectorSizes)]int64{}
	for i, unit := range sectorSizes {
		c, err := read(dev, 1, unit)
		if err == nil || failing(err) {
			return c, err
		}
		if first == nil || errors.Is(first, ondisk.ErrFormat) {
			first = err
		}
		if h := c.header; string(h.Signature[:]) == signature && h.AlternateLBA < uint64(dev.Size()/unit) {
			hints[i] = int64(h.AlternateLBA)
		}
	}
	for i, unit := range sectorSizes {
		for _, lba := range []int64{dev.Size()/unit - 1, hints[i]} {
			if lba <= 1 {
				continue
			}
			c, err := read(dev, lba, unit)
			if failing(err) {
				return c, err
			}
			if err == nil {
				c.backup, c.why = true, first
				return c, nil
			}
		}
	}
	return copyOf{}, first
}

// failing tells a disk that cannot be read from a table that cannot be believed.
func failing(err error) bool {
	return err != nil && !errors.Is(err, ondisk.ErrFormat) && !errors.Is(err, ondisk.ErrCorrupt) &&
		!errors.Is(err, ondisk.ErrUnsupported) && !errors.Is(err, ondisk.ErrTooBig)
}

// read verifies the copy whose header is in sector lba. The header it returns
// with an error is unverified.
func read(dev blockdev.Device, lba, unit int64) (copyOf, error) {
	c := copyOf{unit: unit}
	off := lba * unit
	place := ondisk.At("gpt", "header", off)
	if !ondisk.InRange(off, unit, dev.Size()) {
		return c, place.Format("beyond the disk")
	}
	p, err := ondisk.Bytes(dev, off, unit)
	if err != nil {
		return c, place.Wrap(err)
	}
	if string(p[:len(signature)]) != signature {
		return c, place.Format("no signature")
	}
	if _, err := binary.Decode(p, binary.LittleEndian, &c.header); err != nil {
		return c, place.Wrap(err)
	}
	if err := c.header.check(p, lba, place); err != nil {
		return c, err
	}
	c.entries, err = readEntries(dev, c.header, unit)
	return c, err
}

// check verifies what the header says about itself; p is its sector.
func (h header) check(p []byte, lba int64, place ondisk.Place) error {
	if h.HeaderLen < headerLen || int64(h.HeaderLen) > int64(len(p)) {
		return place.In("size").Corrupt("%d bytes, not %d to %d", h.HeaderLen, headerLen, len(p))
	}
	sum := make([]byte, h.HeaderLen)
	copy(sum, p)
	clear(sum[headerCRCOff : headerCRCOff+4])
	if got := crc32.ChecksumIEEE(sum); got != h.HeaderCRC {
		return place.In("checksum").Corrupt("%#x, the bytes give %#x", h.HeaderCRC, got)
	}
	if h.Revision != revision {
		return place.In("revision").Unsupported("%#x", h.Revision)
	}
	if h.MyLBA != uint64(lba) {
		return place.In("own sector").Corrupt("%d in sector %d", h.MyLBA, lba)
	}
	if n := h.EntryLen; n < minEntryLen || n > maxEntryLen || n&(n-1) != 0 {
		return place.In("size of an entry").Corrupt("%d", n)
	}
	if uint64(h.Entries)*uint64(h.EntryLen) > maxTableLen {
		return place.In("number of entries").TooBig("%d entries of %d bytes, more than %d", h.Entries, h.EntryLen, maxTableLen)
	}
	return nil
}

func readEntries(dev blockdev.Device, h header, unit int64) ([]byte, error) {
	off, ok := ondisk.MulOK(int64(h.EntriesLBA), unit)
	n := int64(h.Entries) * int64(h.EntryLen)
	if !ok || !ondisk.InRange(off, n, dev.Size()) {
		return nil, ondisk.At("gpt", "header", int64(h.MyLBA)*unit).In("sector of the entries").Corrupt("%d is beyond the disk", h.EntriesLBA)
	}
	place := ondisk.At("gpt", "entries", off)
	p, err := ondisk.Bytes(dev, off, n)
	if err != nil {
		return nil, place.Wrap(err)
	}
	if got := crc32.ChecksumIEEE(p); got != h.EntriesCRC {
		return nil, place.In("checksum").Corrupt("%#x in the header, the bytes give %#x", h.EntriesCRC, got)
	}
	return p, nil
}
