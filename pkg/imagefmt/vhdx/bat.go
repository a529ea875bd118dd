package vhdx

import (
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// geometry is what turns a guest offset into an index of the BAT
// ([MS-VHDX] 2.5).
type geometry struct {
	size   int64 // bytes of the disk
	block  int64 // bytes of a payload block
	sector int64 // bytes of a logical sector
	diff   bool  // the disk has a parent
}

// chunkRatio is how many payload entries come before an entry of a sector bitmap.
func (g geometry) chunkRatio() int64 { return chunkSectors * g.sector / g.block }

// blocks is how many payload blocks the disk has.
func (g geometry) blocks() int64 { return ondisk.DivUp(g.size, g.block) }

// entries is how many entries the BAT has.
func (g geometry) entries() int64 {
	n, ratio := g.blocks(), g.chunkRatio()
	switch {
	case n == 0:
		return 0
	case g.diff:
		return ondisk.DivUp(n, ratio) * (ratio + 1)
	}
	return n + (n-1)/ratio
}

// payloadEntry is the index of a payload block's entry.
func (g geometry) payloadEntry(block int64) int64 { return block + block/g.chunkRatio() }

// bitmapEntry is the index of the entry for the sector bitmap of a block.
func (g geometry) bitmapEntry(block int64) int64 {
	ratio := g.chunkRatio()
	return block/ratio*(ratio+1) + ratio
}

// payloadBefore is how many payload blocks have entries before index entry.
func (g geometry) payloadBefore(entry int64) int64 { return entry - entry/(g.chunkRatio()+1) }

// isBitmap reports whether an entry belongs to a sector bitmap block.
func (g geometry) isBitmap(entry int64) bool { return entry%(g.chunkRatio()+1) == g.chunkRatio() }

// kind says where the bytes of a guest range come from.
type kind uint8

const (
	absent kind = iota // the parent, or zeros
	zeroed             // zeros, whatever the parent has
	stored             // as they are, at a host offset
)

// run is a range of guest bytes of one kind.
type run struct {
	n    int64
	kind kind
	host int64 // stored: of the first byte
}

func (r run) follows(s run) bool {
	return r.kind == s.kind && (r.kind != stored || r.host+r.n == s.host)
}

// sliceSize is how much of the BAT or a sector bitmap is read and cached at once.
const sliceSize = 64 * kib

// lookahead is how many entries one call of [mapping.next] may look at.
const lookahead = 32 << 10

// mapping translates guest offsets by the BAT.
type mapping struct {
	geometry
	regions
	file   blockdev.Device           // with the log replayed
	slices *ondisk.BlockCache[int64] // of the BAT and of sector bitmaps, by offset in the file
}

// next is the longest run from off that a bounded look finds. The n bytes from
// off must lie inside the disk, n > 0.
func (m *mapping) next(off, n int64) (run, error) {
	r, err := m.within(off, n)
	if err != nil {
		return run{}, err
	}
	for looked := 1; r.n < n && looked < lookahead; looked++ {
		at := off + r.n
		if r.kind == absent && m.beginsSlice(at) {
			hole, err := m.hole(at)
			if err != nil {
				return run{}, err
			}
			if hole > 0 {
				r.n += min(hole, n-r.n)
				continue
			}
		}
		s, err := m.within(at, n-r.n)
		if err != nil || !r.follows(s) {
			break // the next call reports the error
		}
		r.n += s.n
	}
	return r, nil
}

// within is the run from off inside one block.
func (m *mapping) within(off, n int64) (run, error) {
	block, in := off/m.block, off%m.block
	n = min(n, m.block-in)
	i := m.payloadEntry(block)
	e, err := m.entry(i)
	if err != nil {
		return run{}, err
	}
	r := run{n: n}
	switch e & stateMask {
	case notPresent:
	case undefined, zeroBlock, unmapped, unmappedOld:
		r.kind = zeroed
	case partly:
		if !m.diff {
			return run{}, m.at(i).Corrupt("a block is partly present, and the disk has no parent")
		}
		return m.partial(e, block, in, n)
	case fullyPresent:
		r.kind, r.host = stored, int64(e&offsetMask)+in
		err = m.checkStored(i, e, in+n)
	default:
		err = m.at(i).Corrupt("state %d is not known", e&stateMask)
	}
	return r, err
}

func (m *mapping) at(entry int64) ondisk.Place {
	return ondisk.At(layer, "BAT", m.bat.off).In("entry %d", entry)
}

// checkStored checks the place of the first n bytes of a block.
func (m *mapping) checkStored(i int64, e uint64, n int64) error {
	if e&offsetMask > 1<<62 {
		return m.at(i).Corrupt("a block at %#x", e&offsetMask)
	}
	host := int64(e & offsetMask)
	if name, bad := m.overlap(host, n); bad {
		return m.at(i).Corrupt("the block at %#x overlaps the %s", host, name)
	}
	if !ondisk.InRange(host, n, m.file.Size()) {
		return m.at(i).Corrupt("the block at %#x ends beyond the end of the file (%d bytes); the image is truncated", host, m.file.Size())
	}
	return nil
}

// entry is a word of the BAT.
func (m *mapping) entry(i int64) (uint64, error) {
	p, err := m.slice(m.bat.off + i*8)
	if err != nil {
		return 0, ondisk.At(layer, "BAT", m.bat.off).Wrap(err)
	}
	return le.Uint64(p), nil
}

// slice is the table bytes from off to the end of their slice.
func (m *mapping) slice(off int64) ([]byte, error) {
	start := ondisk.AlignDown(off, sliceSize)
	p := m.slices.Get(start)
	if p == nil {
		p = make([]byte, sliceSize)
		if err := ondisk.Full(m.file, p, start); err != nil {
			return nil, err
		}
		p = m.slices.Put(start, p)
	}
	return p[off-start:], nil
}

// beginsSlice reports whether the entry of the block at off is the first payload
// entry of its slice.
func (m *mapping) beginsSlice(off int64) bool {
	if off%m.block != 0 {
		return false
	}
	i := m.payloadEntry(off / m.block)
	in := i % (sliceSize / 8)
	return in == 0 || in == 1 && m.isBitmap(i-1)
}

// hole is how many guest bytes from off, a block's first, have entries in a hole
// of the file, beyond what is cached: none of them is present.
func (m *mapping) hole(off int64) (int64, error) {
	i := m.payloadEntry(off / m.block)
	n, err := m.holeEntries(i)
	if n == 0 || err != nil {
		return 0, err
	}
	return min(m.payloadBefore(i+n)*m.block, m.size) - off, nil
}

// holeEntries is how many entries from i lie in a hole of the file.
func (m *mapping) holeEntries(i int64) (int64, error) {
	off, end := m.bat.off+i*8, m.bat.off+m.entries()*8
	if m.slices.Get(ondisk.AlignDown(off, sliceSize)) != nil {
		return 0, nil
	}
	x, err := blockdev.NextExtent(m.file, off, end-off)
	if err != nil || x.Kind != blockdev.Zero {
		return 0, err
	}
	return x.Len / 8, nil
}

// partial is the run from byte in of a block that is partly present: sectors
// whose bits are set are here, the others are the parent's ([MS-VHDX] 2.4).
func (m *mapping) partial(e uint64, block, in, n int64) (run, error) {
	bitmap, err := m.bitmap(block)
	if err != nil {
		return run{}, err
	}
	first := (block%m.chunkRatio()*m.block + in) / m.sector
	count, set, err := m.sectors(bitmap, first, ondisk.DivUp(in+n, m.sector)-in/m.sector)
	if err != nil {
		return run{}, err
	}
	r := run{n: min(n, count*m.sector-in%m.sector)}
	if !set {
		return r, nil
	}
	r.kind, r.host = stored, int64(e&offsetMask)+in
	return r, m.checkStored(m.payloadEntry(block), e, in+r.n)
}

// bitmap is where the sector bitmap of a block lies.
func (m *mapping) bitmap(block int64) (int64, error) {
	i := m.bitmapEntry(block)
	e, err := m.entry(i)
	if err != nil {
		return 0, err
	}
	if e&stateMask != fullyPresent {
		return 0, m.at(i).Corrupt("a block is partly present without a sector bitmap (state %d)", e&stateMask)
	}
	return int64(e & offsetMask), m.checkStored(i, e, bitmapSize)
}

// sectors counts the bits from the given one that are equal, at most n, and says
// what they are. Sector 0 is the lowest bit of the first byte.
func (m *mapping) sectors(bitmap, first, n int64) (count int64, set bool, err error) {
	for count < n {
		bit := first + count
		p, err := m.slice(bitmap + bit/64*8)
		if err != nil {
			return 0, false, ondisk.At(layer, "sector bitmap", bitmap).Wrap(err)
		}
		word := le.Uint64(p) >> (bit % 64)
		if count == 0 {
			set = word&1 != 0
		}
		if set {
			word = ^word
		}
		same := min(int64(bits.TrailingZeros64(word)), 64-bit%64)
		count += same
		if bit%64+same < 64 {
			break
		}
	}
	return min(count, n), set, nil
}
