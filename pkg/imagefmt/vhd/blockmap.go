package vhd

import (
	"bytes"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	tableEntrySize = 4
	// sliceEntries is how much of the table is read and cached at once.
	sliceEntries = 16 << 10
	// lookahead is how many steps one call of [blockMap.next] may take, so that
	// it ends soon on a disk of any size. A step crosses a bitmap, or as many
	// absent blocks as a slice of the table has.
	lookahead = 64
)

// blockMap finds the sectors of a sparse image: the block allocation table says
// where a block lies, the bitmap in front of its data which sectors it has.
type blockMap struct {
	file       blockdev.Device
	tableOff   int64
	entries    int64
	blockSize  int64
	bitmapSize int64
	slices     *ondisk.BlockCache[int64] // of the table, by number
	bitmaps    *ondisk.BlockCache[int64] // by block
	full       []byte                    // bitmap of a block that has all its sectors; shared
	empty      []byte                    // of one that has none
}

func newBlockMap(file blockdev.Device, h *header, limits ondisk.Limits) *blockMap {
	used := ondisk.DivUp(h.blockSize()/sectorSize, 8)
	return &blockMap{
		file:       file,
		tableOff:   int64(h.TableOffset),
		entries:    int64(h.MaxEntries),
		blockSize:  h.blockSize(),
		bitmapSize: bitmapSize(h.blockSize()),
		slices:     ondisk.NewBlockCache[int64](limits.Cache / 2),
		bitmaps:    ondisk.NewBlockCache[int64](limits.Cache / 2),
		full:       bytes.Repeat([]byte{0xff}, int(used)),
		empty:      make([]byte, used),
	}
}

// run is a range of guest bytes that are all stored, or all not.
type run struct {
	n      int64
	stored bool
	host   int64 // of the first byte, when stored
}

// follows reports whether s, right after r in the guest, is more of the same.
func (r run) follows(s run) bool {
	return r.stored == s.stored && (!r.stored || r.host+r.n == s.host)
}

// next is the longest run from off that a bounded look finds. The n bytes from
// off must lie inside the disk, n > 0.
func (b *blockMap) next(off, n int64) (run, error) {
	r, err := b.within(off, n)
	if err != nil {
		return run{}, err
	}
	for looked := 1; r.n < n && looked < lookahead; looked++ {
		s, err := b.within(off+r.n, n-r.n)
		if err != nil || !r.follows(s) {
			break // the next call reports the error
		}
		r.n += s.n
	}
	if r.stored && !ondisk.InRange(r.host, r.n, b.file.Size()) {
		return run{}, ondisk.At(layer, "block", r.host).
			Corrupt("%d bytes end beyond the end of the file (%d bytes); the image is truncated", r.n, b.file.Size())
	}
	return r, nil
}

// within is the run from off inside one block, or inside the blocks of one slice
// of the table when they are absent.
func (b *blockMap) within(off, n int64) (run, error) {
	i, in := off/b.blockSize, off%b.blockSize
	pos, err := b.place(i)
	if err != nil {
		return run{}, err
	}
	if pos == 0 {
		absent, err := b.absent(i)
		return run{n: min(n, absent*b.blockSize-in)}, err
	}
	bitmap, err := b.bitmap(i, pos)
	if err != nil {
		return run{}, err
	}
	set, end := b.sameBits(bitmap, in/sectorSize)
	return run{n: min(n, end*sectorSize-in), stored: set, host: pos + b.bitmapSize + in}, nil
}

// slice is the part of the table that holds entry i, and i's index in it.
func (b *blockMap) slice(i int64) ([]byte, int64, error) {
	k := i / sliceEntries
	p := b.slices.Get(k)
	if p == nil {
		first := k * sliceEntries
		p = make([]byte, min(sliceEntries, b.entries-first)*tableEntrySize)
		if err := ondisk.Full(b.file, p, b.tableOff+first*tableEntrySize); err != nil {
			return nil, 0, ondisk.At(layer, "block allocation table", b.tableOff).Wrap(err)
		}
		p = b.slices.Put(k, p)
	}
	return p, i % sliceEntries, nil
}

// place is where block i begins, with its bitmap; 0 when it is not stored.
func (b *blockMap) place(i int64) (int64, error) {
	p, k, err := b.slice(i)
	if err != nil {
		return 0, err
	}
	e := binary.BigEndian.Uint32(p[k*tableEntrySize:])
	if e == noBlock {
		return 0, nil
	}
	pos := int64(e) * sectorSize
	if pos == 0 || !ondisk.InRange(pos, b.bitmapSize, b.file.Size()) {
		return 0, ondisk.At(layer, "block allocation table", b.tableOff).In("entry %d", i).
			Corrupt("a block at %#x in a file of %d bytes; the image is truncated or damaged", pos, b.file.Size())
	}
	return pos, nil
}

// absent counts the blocks from i that are not stored, in one slice.
func (b *blockMap) absent(i int64) (int64, error) {
	p, k, err := b.slice(i)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for rest := p[k*tableEntrySize:]; len(rest) > 0 && binary.BigEndian.Uint32(rest) == noBlock; rest = rest[tableEntrySize:] {
		n++
	}
	return n, nil
}

// bitmap is the bitmap of block i, which begins at pos: as many bytes as have
// bits of sectors. It is shared and must not be changed.
func (b *blockMap) bitmap(i, pos int64) ([]byte, error) {
	if p := b.bitmaps.Get(i); p != nil {
		return p, nil
	}
	p := make([]byte, len(b.full))
	if err := ondisk.Full(b.file, p, pos); err != nil {
		return nil, ondisk.At(layer, "sector bitmap", pos).Wrap(err)
	}
	return b.bitmaps.Put(i, b.shared(p)), nil
}

// shared replaces bitmaps of which nearly all images are made by one copy, which
// is then known by its address.
func (b *blockMap) shared(p []byte) []byte {
	set, end := scanBits(p, 0, b.blockSize/sectorSize)
	switch {
	case end < b.blockSize/sectorSize:
		return p
	case set:
		return b.full
	default:
		return b.empty
	}
}

// sameBits is whether the block has sector from, and the first sector after it
// of which that is not so.
func (b *blockMap) sameBits(bitmap []byte, from int64) (set bool, end int64) {
	switch &bitmap[0] {
	case &b.full[0]:
		return true, b.blockSize / sectorSize
	case &b.empty[0]:
		return false, b.blockSize / sectorSize
	}
	return scanBits(bitmap, from, b.blockSize/sectorSize)
}

// scanBits is bit from and the first bit after it that differs, or to. Bits
// count from the highest of each byte.
func scanBits(bitmap []byte, from, to int64) (set bool, end int64) {
	set = bit(bitmap, from)
	var same byte
	if set {
		same = 0xff
	}
	for end = from; end < to; {
		if end%8 == 0 && end+8 <= to && bitmap[end/8] == same {
			end += 8
			continue
		}
		if bit(bitmap, end) != set {
			break
		}
		end++
	}
	return set, end
}

func bit(bitmap []byte, i int64) bool { return bitmap[i/8]&(0x80>>(i%8)) != 0 }

// setBits sets the bits [from, to).
func setBits(bitmap []byte, from, to int64) {
	for i := from; i < to; i++ {
		if i%8 == 0 && i+8 <= to {
			bitmap[i/8] = 0xff
			i += 7
			continue
		}
		bitmap[i/8] |= 0x80 >> (i % 8)
	}
}
