package qcow2

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// l2Table is an L2 table and how many L1 entries refer to it: those of the disk
// as it is now, and all together with those of snapshots.
type l2Table struct {
	off           int64
	active, times uint32
}

// memory that one item of a list takes
const (
	areaBytes  = 48
	tableBytes = 16
)

// gather lists what the image uses besides guest data, and all L2 tables.
func (c *checker) gather() error {
	h := c.hdr
	c.areas = append(c.areas,
		area{"header", 0, c.clusterSize(), 1},
		area{"refcount table", int64(h.RefcountTableOffset), int64(h.RefcountTableClusters) << h.clusterBits, 1})
	if err := c.gatherCounts(); err != nil {
		return err
	}
	if h.crypto.n > 0 {
		c.areas = append(c.areas, area{"LUKS header", h.crypto.off, h.crypto.n, 1})
	}
	if err := c.gatherBitmaps(); err != nil {
		return err
	}
	return c.gatherTables()
}

// gatherCounts loads the refcount table.
func (c *checker) gatherCounts() error {
	h := c.hdr
	c.stored = storedCounts{
		geometry: h.geometry, order: uint(h.RefcountOrder), file: c.src, off: int64(h.RefcountTableOffset),
		cache: ondisk.NewBlockCache[int64](c.limits.Cache),
	}
	raw, err := ondisk.Bytes(c.src, c.stored.off, int64(h.RefcountTableClusters)<<h.clusterBits)
	if err != nil {
		return ondisk.At(layer, "refcount table", c.stored.off).Wrap(err)
	}
	c.stored.table = make([]int64, len(raw)/8)
	for i := range c.stored.table {
		off := int64(binary.BigEndian.Uint64(raw[i*8:]))
		switch {
		case off == 0:
		case off < 0 || off%c.clusterSize() != 0 || !ondisk.InRange(off, c.clusterSize(), c.src.Size()):
			c.damage("refcount table", c.stored.off, int64(i), "refcount block at %#x", uint64(off))
		default:
			c.stored.table[i] = off
			if err := c.use("refcount block", off, c.clusterSize(), 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// use adds an area, while there is memory for it.
func (c *checker) use(name string, off, n int64, times uint32) error {
	if int64(len(c.areas)) >= max(64, c.limits.Table/areaBytes) {
		return ondisk.At(layer, name, off).TooBig("the image has too many tables to check")
	}
	c.areas = append(c.areas, area{name, off, n, times})
	return nil
}

// gatherBitmaps lists the bitmap directory, the tables and the clusters of the bitmaps.
func (c *checker) gatherBitmaps() error {
	bitmaps, err := readBitmaps(c.src, c.hdr, c.limits)
	if err != nil || len(bitmaps) == 0 {
		return err
	}
	dir := c.hdr.bitmaps
	if err := c.use("bitmap directory", int64(dir.offset), int64(dir.size), 1); err != nil {
		return err
	}
	var spent int64
	for _, b := range bitmaps {
		off, n := int64(b.TableOffset), int64(b.TableSize)*8
		if n == 0 {
			continue
		}
		if off%c.clusterSize() != 0 || !ondisk.InRange(off, n, c.src.Size()) {
			c.damage("bitmap table", off, -1, "%d bytes at %#x", n, b.TableOffset)
			continue
		}
		if spent += n; spent > c.src.Size() {
			return ondisk.At(layer, "bitmap directory", int64(dir.offset)).Corrupt("the tables of the bitmaps overlap")
		}
		if err := c.use("bitmap table", off, n, 1); err != nil {
			return err
		}
		if err := c.gatherBitmap(off, int64(b.TableSize)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) gatherBitmap(off, entries int64) error {
	return c.words("bitmap table", off, entries, func(i int64, word uint64) error {
		at := int64(word & offsetMask)
		switch {
		case at == 0:
			return nil
		case word&^uint64(offsetMask) != 0 || at%c.clusterSize() != 0:
			c.damage("bitmap table", off, i, "%#016x", word)
			return nil
		}
		return c.use("bitmap", at, c.clusterSize(), 1)
	})
}

// words reads a table of 64-bit words piece by piece.
func (c *checker) words(name string, off, entries int64, each func(i int64, word uint64) error) error {
	buf := make([]byte, min(entries*8, 1<<20))
	for i := int64(0); i < entries; {
		p := buf[:min(int64(len(buf)), (entries-i)*8)]
		if err := ondisk.Full(c.src, p, off+i*8); err != nil {
			return ondisk.At(layer, name, off).Wrap(err)
		}
		for ; len(p) > 0; p = p[8:] {
			if err := each(i, binary.BigEndian.Uint64(p)); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

// l1Table is an L1 table that the disk or its snapshots have.
type l1Table struct {
	off, entries  int64
	active, times uint32
}

// gatherTables lists the L1 tables, and by them the L2 tables. Snapshots share
// both, so each is read once.
func (c *checker) gatherTables() error {
	l1s, err := c.l1Tables()
	if err != nil {
		return err
	}
	var spent int64
	for _, l1 := range l1s {
		if spent += l1.entries * 8; spent > c.src.Size() {
			return ondisk.At(layer, "snapshot table", int64(c.hdr.SnapshotsOffset)).Corrupt("the L1 tables overlap")
		}
		if err := c.use("L1 table", l1.off, l1.entries*8, l1.times); err != nil {
			return err
		}
		if err := c.gatherL1(l1); err != nil {
			return err
		}
	}
	slices.SortFunc(c.tables, func(a, b l2Table) int { return cmp.Compare(a.off, b.off) })
	merged := c.tables[:0]
	for _, t := range c.tables {
		if n := len(merged); n > 0 && merged[n-1].off == t.off {
			merged[n-1].active += t.active
			merged[n-1].times += t.times
			continue
		}
		merged = append(merged, t)
	}
	c.tables = merged
	return nil
}

// l1Tables are the table of the disk and those of the snapshots, each once.
func (c *checker) l1Tables() ([]l1Table, error) {
	h := c.hdr
	all := []l1Table{{int64(h.L1Offset), int64(h.L1Size), 1, 1}}
	snapshots, err := readSnapshots(c.src, h, c.limits)
	if err != nil {
		return nil, err
	}
	if n := len(snapshots); n > 0 {
		off := int64(h.SnapshotsOffset)
		if err := c.use("snapshot table", off, snapshots[n-1].end-off, 1); err != nil {
			return nil, err
		}
	}
	index := map[[2]int64]int{{all[0].off, all[0].entries}: 0}
	for i, s := range snapshots {
		off, entries := int64(s.L1Offset), int64(s.L1Size)
		if entries*8 > maxL1Bytes || off < 0 || off%c.clusterSize() != 0 || !ondisk.InRange(off, entries*8, c.src.Size()) {
			c.damage("snapshot table", int64(h.SnapshotsOffset), int64(i), "L1 table of %d entries at %#x", entries, s.L1Offset)
			continue
		}
		key := [2]int64{off, entries}
		if k, ok := index[key]; ok {
			all[k].times++
			continue
		}
		index[key] = len(all)
		all = append(all, l1Table{off, entries, 0, 1})
	}
	return slices.DeleteFunc(all, func(t l1Table) bool { return t.entries == 0 }), nil
}

func (c *checker) gatherL1(l1 l1Table) error {
	return c.words("L1 table", l1.off, l1.entries, func(i int64, word uint64) error {
		off := int64(word & offsetMask)
		switch {
		case word == 0:
			return nil
		case word&reservedL1 != 0 || off%c.clusterSize() != 0:
			c.damage("L1 table", l1.off, i, "%#016x has reserved bits set", word)
			return nil
		case off == 0:
			return nil
		case !ondisk.InRange(off, c.clusterSize(), c.src.Size()):
			c.damage("L1 table", l1.off, i, "L2 table at %#x ends beyond the end of the file (%d bytes)", off, c.src.Size())
			return nil
		}
		if int64(len(c.tables)) >= max(64, c.limits.Table/tableBytes) {
			return ondisk.At(layer, "L1 table", l1.off).TooBig("the image has too many L2 tables to check")
		}
		c.tables = append(c.tables, l2Table{off, l1.active, l1.times})
		if l1.active > 0 {
			return c.copied("L1 table", l1.off, i, word)
		}
		return nil
	})
}

// table counts what an L2 table refers to, and the table itself.
func (c *checker) table(t l2Table, buf []byte) error {
	c.refer("L2 table", t.off, -1, t.off, c.clusterSize(), t.times)
	for i := range c.tableEntries() {
		at := i * c.entrySize()
		e := entry{word: binary.BigEndian.Uint64(buf[at:])}
		if c.extended {
			e.bitmap = binary.BigEndian.Uint64(buf[at+8:])
		}
		if e == (entry{}) {
			continue
		}
		if err := c.entry(t, i, e); err != nil {
			return err
		}
	}
	return nil
}

// entry counts what an L2 entry refers to.
func (c *checker) entry(t l2Table, i int64, e entry) error {
	external := c.hdr.has(incompatDataFile)
	if e.word&flagPacked != 0 {
		if e.word&flagCopied != 0 || external || c.extended && e.bitmap != 0 {
			c.damage("L2 table", t.off, i, "%#016x is no valid compressed cluster", e.word)
		}
		host, n := c.packedExtent(e.word)
		c.allocated(t)
		c.refer("L2 table", t.off, i, host, n, t.times)
		return nil
	}
	host := int64(e.word & offsetMask)
	c.checkEntry(t, i, e, host)
	if host%c.clusterSize() != 0 || host == 0 && (!external || e.word&flagCopied == 0) {
		return nil
	}
	c.allocated(t)
	if external {
		return nil
	}
	c.refer("L2 table", t.off, i, host, c.clusterSize(), t.times)
	if t.active == 0 || c.again {
		return nil
	}
	return c.copied("L2 table", t.off, i, e.word)
}

// checkEntry is about the bits of an entry of a plain or empty cluster.
func (c *checker) checkEntry(t l2Table, i int64, e entry, host int64) {
	reserved := uint64(reservedStd)
	if c.extended || c.hdr.Version < 3 {
		reserved |= flagZero
	}
	allocated := host != 0 || c.hdr.has(incompatDataFile) && e.word&flagCopied != 0
	alloc, zero := uint32(e.bitmap&allocMask), uint32(e.bitmap>>32)
	switch {
	case e.word&reserved != 0:
		c.damage("L2 table", t.off, i, "%#016x has reserved bits set", e.word)
	case host%c.clusterSize() != 0:
		c.damage("L2 table", t.off, i, "%#016x is not at a cluster", e.word)
	case alloc&zero != 0:
		c.damage("L2 table", t.off, i, "a subcluster is both allocated and zero (%#016x)", e.bitmap)
	case alloc != 0 && !allocated:
		c.damage("L2 table", t.off, i, "allocated subclusters without a host cluster (%#016x)", e.bitmap)
	}
}

func (c *checker) allocated(t l2Table) {
	if !c.again {
		c.result.Allocated += int64(t.active)
	}
}

// copied holds the flag of an entry, which allows writing in place, against the
// count that is stored.
func (c *checker) copied(name string, off, i int64, word uint64) error {
	host := int64(word & offsetMask)
	v, err := c.stored.of(host >> c.clusterBits)
	if err != nil {
		return err
	}
	if flag := word&flagCopied != 0; flag != (v == 1) {
		c.damage(name, off, i, "%#016x: the flag \"copied\" is %v, but the count of %#x is %d", word, flag, host, v)
	}
	return nil
}
