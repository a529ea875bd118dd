package vdi

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// run is a range of guest bytes of one state: imagefmt.Hole, Zero or Stored.
type run struct {
	n     int64 // guest bytes
	state imagefmt.State
	host  int64 // Stored: of the first byte
}

// follows reports whether s, right after r in the guest, is more of the same.
func (r run) follows(s run) bool {
	return r.state == s.state && (r.state != imagefmt.Stored || r.host+r.n == s.host)
}

// sliceSize is how much of the map is read and cached at once.
const sliceSize = 64 << 10

// lookahead is how many slices one call of [blockMap.next] may look at, so that
// asking again after every hole of a file stays cheap.
const lookahead = 2

// blockMap translates guest offsets.
type blockMap struct {
	*header
	file   blockdev.Device
	slices *ondisk.BlockCache[int64] // by number
}

func newBlockMap(file blockdev.Device, h *header, limits ondisk.Limits) *blockMap {
	return &blockMap{header: h, file: file, slices: ondisk.NewBlockCache[int64](limits.Cache)}
}

// next is the longest run from off that a bounded look finds. The n bytes from
// off must lie inside the disk, n > 0.
func (m *blockMap) next(off, n int64) (run, error) {
	r, err := m.within(off, n)
	if err != nil {
		return run{}, err
	}
	for looked := 1; r.n < n && looked < lookahead; looked++ {
		s, err := m.within(off+r.n, n-r.n)
		if err != nil || !r.follows(s) {
			break // the next call reports the error
		}
		r.n += s.n
	}
	if r.state == imagefmt.Stored && !ondisk.InRange(r.host, r.n, m.file.Size()) {
		return run{}, ondisk.At(layer, "block", r.host).
			Corrupt("%d bytes end beyond the end of the file (%d bytes); the image is truncated", r.n, m.file.Size())
	}
	return r, nil
}

// within is the run from off inside one slice of the map.
func (m *blockMap) within(off, n int64) (run, error) {
	first := off >> m.blockBits
	slice, at, err := m.slice(first)
	if err != nil {
		return run{}, err
	}
	var r run
	in := off & (m.blockSize() - 1)
	for ; at < len(slice) && r.n < n; at += entrySize {
		s, err := m.block(binary.LittleEndian.Uint32(slice[at:]), in)
		switch {
		case err != nil && r.n == 0:
			return run{}, m.entryPlace(first).Wrap(err)
		case err != nil || r.n > 0 && !r.follows(s):
			return r, nil
		case r.n == 0:
			r = s
		default:
			r.n += s.n
		}
		in = 0
	}
	r.n = min(r.n, n)
	return r, nil
}

// block is the run from byte in of a block to its end.
func (m *blockMap) block(entry uint32, in int64) (run, error) {
	r := run{n: m.blockSize() - in}
	switch {
	case entry == entryAbsent:
	case entry == entryZero:
		r.state = imagefmt.Zero
	case entry >= m.Blocks:
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "place %d of %d", entry, m.Blocks)
	default:
		r.state, r.host = imagefmt.Stored, m.place(int64(entry))+int64(m.BlockExtra)+in
	}
	return r, nil
}

// slice loads the part of the map that holds the entry of a block, and says where
// in it the entry lies.
func (m *blockMap) slice(block int64) (slice []byte, at int, err error) {
	pos := block * entrySize
	i := pos / sliceSize
	slice = m.slices.Get(i)
	if slice == nil {
		slice = make([]byte, min(sliceSize, m.mapSize()-i*sliceSize))
		off := int64(m.MapOffset) + i*sliceSize
		if err := ondisk.Full(m.file, slice, off); err != nil {
			return nil, 0, ondisk.At(layer, "block map", int64(m.MapOffset)).Wrap(err)
		}
		slice = m.slices.Put(i, slice)
	}
	return slice, int(pos % sliceSize), nil
}

func (m *blockMap) entryPlace(block int64) ondisk.Place {
	return ondisk.At(layer, "block map", int64(m.MapOffset)).In("entry %d", block)
}
