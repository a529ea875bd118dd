package vmdk

import (
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// kind says where the bytes of a range of the disk come from.
type kind uint8

const (
	absent kind = iota // the parent, or zeros
	zeroed             // zeros, whatever the parent has
	plain              // as they are, at an offset of the extent's file
	packed             // a compressed grain
)

// run is a range of bytes of one kind.
type run struct {
	n      int64
	kind   kind
	host   int64 // plain: of the first byte; packed: of the grain's marker
	stored int64 // packed: bytes that are surely its own, marker included; 0: not known
}

// follows reports whether s, right after r on the disk, is more of the same.
func (r run) follows(s run) bool {
	return r.kind == s.kind && r.kind != packed && (r.kind != plain || r.host+r.n == s.host)
}

// cell is what an entry of a grain table says.
type cell struct {
	kind kind
	host int64
}

// lookahead is how many entries one call of [mapping.next] may look at.
const lookahead = 64 << 10

// mapping translates offsets of a sparse extent by its directory and its grain
// tables. All kinds of sparse extents have these; they differ in the encoding.
type mapping struct {
	file      blockdev.Device
	start     int64 // of the extent on the disk; with it, keys of caches are unique
	size      int64 // bytes of the extent
	grain     int64 // bytes, a power of two
	entries   int64 // of one grain table
	entrySize int64
	maxStored int64 // most bytes that a compressed grain may take, marker included

	dir    []byte // grain directory as it lies on the disk
	locate func(i int64) (int64, error)
	decode func(entry []byte) (cell, error)
	loose  map[int64][]byte // tables that were made by walking a stream
	cache  *ondisk.BlockCache[int64]
}

func (o *opening) newMapping(file blockdev.Device, start, size, grain int64) *mapping {
	return &mapping{file: file, start: start, size: size, grain: grain, cache: o.tables}
}

// span is how many bytes of the disk one grain table maps.
func (m *mapping) span() int64 { return m.entries * m.grain }

// tables is how many grain tables the extent has.
func (m *mapping) tables() int64 { return ondisk.DivUp(m.size, m.span()) }

func (m *mapping) tableBytes() int64 { return m.entries * m.entrySize }

// sectorTable is locate for directories of 32-bit sectors.
func (m *mapping) sectorTable(i int64) (int64, error) {
	off := tableAt(m.dir, i)
	return off, m.checkTable(i, off)
}

func (m *mapping) checkTable(i, off int64) error {
	if off != 0 && !ondisk.InRange(off, m.tableBytes(), m.file.Size()) {
		return ondisk.At(layer, "grain directory", ondisk.NoOffset).In("entry %d", i).
			Corrupt("the table at %#x ends beyond the end of the file (%d bytes); the image is truncated", off, m.file.Size())
	}
	return nil
}

// checkTables looks whether all tables lie in the file, so that most truncated
// images are found before their first byte is read.
func (m *mapping) checkTables() error {
	for i := range m.tables() {
		if _, err := m.locate(i); err != nil {
			return err
		}
	}
	return nil
}

// table loads grain table i, and says where it lies; nil when there is none.
func (m *mapping) table(i int64) ([]byte, int64, error) {
	if m.loose != nil {
		return m.loose[i], ondisk.NoOffset, nil
	}
	off, err := m.locate(i)
	if err != nil || off == 0 {
		return nil, 0, err
	}
	key := m.start + i*m.span()
	if t := m.cache.Get(key); t != nil {
		return t, off, nil
	}
	t := make([]byte, m.tableBytes())
	if err := ondisk.Full(m.file, t, off); err != nil {
		return nil, 0, ondisk.At(layer, "grain table", off).Wrap(err)
	}
	return m.cache.Put(key, t), off, nil
}

// next is the longest run from off that a bounded look finds. The n bytes from
// off must lie inside the extent, n > 0.
func (m *mapping) next(off, n int64) (run, error) {
	r, looked, err := m.within(off, n)
	if err != nil {
		return run{}, err
	}
	for r.n < n && looked < lookahead && r.kind != packed {
		s, more, err := m.within(off+r.n, n-r.n)
		if err != nil || !r.follows(s) {
			break // the next call reports the error
		}
		r.n += s.n
		looked += more
	}
	if r.kind == plain && !ondisk.InRange(r.host, r.n, m.file.Size()) {
		return run{}, ondisk.At(layer, "grain", ondisk.AlignDown(r.host, sectorSize)).
			Corrupt("%d bytes end beyond the end of the file (%d bytes); the image is truncated", r.n, m.file.Size())
	}
	return r, nil
}

// within is the run from off inside one table, and how many entries were looked
// at; an absent table costs nothing.
func (m *mapping) within(off, n int64) (r run, looked int64, err error) {
	span := m.span()
	table, at, err := m.table(off / span)
	if err != nil {
		return run{}, 0, err
	}
	if table == nil {
		return run{n: min(n, span-off%span), kind: absent}, 0, nil
	}
	index := off % span / m.grain
	for i := index; i < m.entries && r.n < n; i++ {
		s, err := m.grainRun(table, i, (off+r.n)&(m.grain-1))
		looked++
		switch {
		case err != nil && r.n == 0:
			return run{}, 0, ondisk.At(layer, "grain table", at).In("entry %d", i).Wrap(err)
		case err != nil || r.n > 0 && !r.follows(s):
			return r, looked, nil
		case r.n == 0:
			r = s
		default:
			r.n += s.n
		}
	}
	r.n = min(r.n, n)
	return r, looked, nil
}

// grainRun is the run from byte in of the grain of entry i to its end.
func (m *mapping) grainRun(table []byte, i, in int64) (run, error) {
	c, err := m.decode(table[i*m.entrySize:])
	if err != nil {
		return run{}, err
	}
	r := run{n: m.grain - in, kind: c.kind, host: c.host}
	switch c.kind {
	case plain:
		r.host += in
	case packed:
		if c.host >= m.file.Size() {
			return run{}, ondisk.Because(ondisk.ErrCorrupt,
				"the grain at %#x is beyond the end of the file (%d bytes); the image is truncated", c.host, m.file.Size())
		}
		r.stored = m.storedHint(table, i, c.host)
	}
	return r, nil
}

// storedHint is the distance to the next grain in the file, if that is the next
// one of the table too, as it is in a stream: then one read gets the whole grain.
func (m *mapping) storedHint(table []byte, i, host int64) int64 {
	for i++; i < m.entries; i++ {
		c, err := m.decode(table[i*m.entrySize:])
		if err != nil || c.kind == packed {
			if n := c.host - host; err == nil && n > 0 && n <= m.maxStored {
				return n
			}
			return 0
		}
	}
	return 0
}
