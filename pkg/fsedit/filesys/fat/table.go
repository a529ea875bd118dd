package fat

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// cursor reads entries of the active table. It keeps the sector that it read
// last, since chains mostly go on beside where they were; it is for one goroutine.
type cursor struct {
	v   *volume
	nr  uint64 // sector
	raw []byte
}

// bytes is n bytes of the table, at most 4. Entries of FAT12 may lie in two sectors.
func (c *cursor) bytes(off int64, n int) (le4 uint32, err error) {
	v := c.v
	off += v.tableOff(v.active)
	for i := range n {
		if nr := uint64(off >> v.sectorBits); c.raw == nil || nr != c.nr {
			raw, err := v.sectors(nr, readAhead>>v.sectorBits)
			if err != nil {
				return 0, err
			}
			c.nr, c.raw = nr, raw
		}
		in := off & (v.sectorSize - 1)
		if n == 4 {
			return le.Uint32(c.raw[in:]), nil
		}
		le4 |= uint32(c.raw[in]) << (8 * i)
		off++
	}
	return le4, nil
}

// entry is what the table says of n, in the values of FAT32.
func (c *cursor) entry(n uint32) (uint32, error) {
	v := c.v
	if n > v.clusters+1 {
		return 0, ondisk.At(layer, "FAT", v.fatOff).Corrupt("cluster %d of %d", n, v.clusters)
	}
	off, width := v.entryPlace(n)
	e, err := c.bytes(off, width)
	return v.wideEntry(n, e), err
}

// entryPlace is where entry n begins in a table, and how many bytes it touches.
func (g *geometry) entryPlace(n uint32) (off int64, width int) {
	switch g.bits {
	case 12:
		return int64(n) + int64(n/2), 2
	case 16:
		return int64(n) * 2, 2
	}
	return int64(n) * 4, 4
}

// wideEntry makes the bytes of entry n a value of FAT32.
func (g *geometry) wideEntry(n, e uint32) uint32 {
	switch g.bits {
	case 12:
		if n&1 != 0 {
			e >>= 4
		}
		if e &= 0xFFF; e >= 0xFF7 {
			e |= entryMask &^ 0xFFF
		}
	case 16:
		if e >= 0xFFF7 {
			e |= entryMask &^ 0xFFFF
		}
	}
	return e & entryMask
}

// patchEntry puts a value of FAT32 into the bytes of entry n; bits that are not
// its own stay.
func (g *geometry) patchEntry(n uint32, raw []byte, e uint32) {
	switch g.bits {
	case 12:
		old := le.Uint16(raw)
		if n&1 != 0 {
			le.PutUint16(raw, old&0xF|uint16(e)<<4)
		} else {
			le.PutUint16(raw, old&0xF000|uint16(e)&0xFFF)
		}
	case 16:
		le.PutUint16(raw, uint16(e))
	default:
		le.PutUint32(raw, le.Uint32(raw)&^uint32(entryMask)|e&entryMask)
	}
}

// next is the cluster after n in its chain, 0 at the end. What no chain goes on
// with is corrupt.
func (c *cursor) next(n uint32) (uint32, error) {
	e, err := c.entry(n)
	switch {
	case err != nil:
		return 0, err
	case e >= entryEnd:
		return 0, nil
	case c.v.inVolume(e):
		return e, nil
	}
	at := ondisk.At(layer, "FAT", c.v.tableOff(c.v.active)).In("entry %d", n)
	switch e {
	case entryFree:
		return 0, at.Corrupt("a chain leads to a free cluster")
	case entryBad:
		return 0, at.Corrupt("a chain leads to a bad cluster")
	}
	return 0, at.Corrupt("a chain leads to cluster %d of %d", e, c.v.clusters)
}
