package vhdx

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// replayed is the file as it will be when its log has been replayed. It is what
// everything but the headers is read from. It is safe for concurrent use.
type replayed struct {
	inner blockdev.Device
	size  int64
	edits []edit // ascending, without overlaps
}

// edit is a change that the log holds: zeros, or a sector of data.
type edit struct {
	off, end int64
	from     int64 // where the data sector lies in the file; 0 means zeros
	lead     [sectorLead]byte
	trail    [sectorTrail]byte
	order    int // later edits win
}

var (
	_ blockdev.Device   = (*replayed)(nil)
	_ blockdev.Extenter = (*replayed)(nil)
)

// replay reads the log, if the header says that there is one. A log that breaks
// off before its first valid entry leaves the file as it is.
func replay(src blockdev.Device, h *header, limits ondisk.Limits) (*replayed, error) {
	v := &replayed{inner: src, size: src.Size()}
	if !h.pending() {
		return v, nil
	}
	at := ondisk.At(layer, "log", int64(h.LogOffset))
	if int64(h.LogLength) > limits.Table {
		return nil, at.TooBig("%d bytes", h.LogLength)
	}
	l := &ring{src: src, region: h.log(), id: h.Log}
	seq, err := l.active()
	if err != nil {
		return nil, at.Wrap(err)
	}
	var edits []edit
	for _, e := range seq {
		at := at.In("entry at %#x", e.pos)
		if e.Flushed > uint64(src.Size()) || e.Last > math.MaxInt64 {
			return nil, at.Corrupt("the file had %d bytes and has %d; the image is truncated", e.Flushed, src.Size())
		}
		v.size = max(v.size, int64(e.Last))
		if edits, err = l.edits(edits, e, limits); err != nil {
			return nil, at.Wrap(err)
		}
	}
	for _, e := range edits {
		v.size = max(v.size, e.end)
	}
	v.edits = flatten(edits)
	return v, nil
}

// edits adds those of an entry of the active sequence.
func (l *ring) edits(out []edit, e entry, limits ondisk.Limits) ([]edit, error) {
	if int64(len(out))+int64(e.Descriptors) > limits.Table/64 {
		return nil, ondisk.Because(ondisk.ErrTooBig, "more than %d changes", limits.Table/64)
	}
	table := make([]byte, e.descriptorBytes())
	if err := l.full(table, e.pos); err != nil {
		return nil, err
	}
	data := e.pos + e.descriptorBytes()
	for i := range int64(e.Descriptors) {
		d := decode[diskDescriptor](table[logHeaderSize+i*descriptorSize:])
		x := edit{lead: d.Lead, trail: d.Trailing, order: len(out)}
		n := uint64(logSector)
		if d.Magic == descZeroMagic {
			n = le.Uint64(d.Lead[:])
		} else {
			x.from = l.place(data)
			data += logSector
		}
		if n > math.MaxInt64 || d.Offset > math.MaxInt64-n {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "descriptor %d: %#x bytes at %#x", i, n, d.Offset)
		}
		if x.off = int64(d.Offset); n > 0 {
			x.end = x.off + int64(n)
			out = append(out, x)
		}
	}
	return out, nil
}

// flatten makes edits ascend without overlaps, the later one winning. Sectors
// are whole or covered whole, so that only zeros are ever cut.
func flatten(edits []edit) []edit {
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.off, b.off) })
	var out []edit
	var open latest
	at := int64(0)
	for i := 0; i < len(edits) || len(open) > 0; {
		if len(open) == 0 {
			at = edits[i].off
		}
		for i < len(edits) && edits[i].off <= at {
			heap.Push(&open, edits[i])
			i++
		}
		top := open[0]
		if top.end <= at {
			heap.Pop(&open)
			continue
		}
		next := top.end
		if i < len(edits) {
			next = min(next, edits[i].off)
		}
		out = appendEdit(out, top, at, next)
		at = next
	}
	return out
}

func appendEdit(out []edit, e edit, off, end int64) []edit {
	if n := len(out); n > 0 && out[n-1].end == off && out[n-1].order == e.order {
		out[n-1].end = end
		return out
	}
	e.off, e.end = off, end
	return append(out, e)
}

// latest is a heap of edits that cover one place, the last of them first.
type latest []edit

func (h latest) Len() int           { return len(h) }
func (h latest) Less(i, j int) bool { return h[i].order > h[j].order }
func (h latest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *latest) Push(x any)        { *h = append(*h, x.(edit)) }
func (h *latest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (v *replayed) Size() int64 { return v.size }

// next is the first edit that ends after off, and whether there is one.
func (v *replayed) next(off int64) (edit, bool) {
	i, _ := slices.BinarySearchFunc(v.edits, off, func(e edit, off int64) int { return cmp.Compare(e.end, off+1) })
	if i == len(v.edits) {
		return edit{}, false
	}
	return v.edits[i], true
}

// ReadAt follows io.ReaderAt.
func (v *replayed) ReadAt(p []byte, off int64) (int, error) {
	if len(v.edits) == 0 && v.size == v.inner.Size() {
		return v.inner.ReadAt(p, off)
	}
	return blockdev.ReadPieces(p, off, v.size, v.readSome)
}

// readSome reads as far as one edit or the room before the next one reaches.
func (v *replayed) readSome(p []byte, off int64) (int, error) {
	e, ok := v.next(off)
	switch {
	case !ok:
		return len(p), v.readInner(p, off)
	case e.off > off:
		n := int(min(int64(len(p)), e.off-off))
		return n, v.readInner(p[:n], off)
	}
	n := int(min(int64(len(p)), e.end-off))
	if e.from == 0 {
		clear(p[:n])
		return n, nil
	}
	var sector [logSector]byte
	if err := ondisk.Full(v.inner, sector[:], e.from); err != nil {
		return 0, err
	}
	copy(sector[:], e.lead[:])
	copy(sector[logSector-sectorTrail:], e.trail[:])
	return copy(p[:n], sector[off-e.off:]), nil
}

// readInner reads the file, which is zeros where the replay makes it grow.
func (v *replayed) readInner(p []byte, off int64) error {
	n := max(0, min(int64(len(p)), v.inner.Size()-off))
	clear(p[n:])
	return ondisk.Full(v.inner, p[:n], off)
}

// NextExtent gives places on the host for what the log does not touch.
func (v *replayed) NextExtent(off, n int64) (blockdev.Extent, error) {
	if e, ok := v.next(off); ok && e.off <= off {
		x := blockdev.Extent{Off: off, Len: min(n, e.end-off), Kind: blockdev.Data}
		if e.from == 0 {
			x.Kind = blockdev.Zero
		}
		return x, nil
	} else if ok {
		n = min(n, e.off-off)
	}
	if off >= v.inner.Size() {
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
	}
	return blockdev.NextExtent(v.inner, off, min(n, v.inner.Size()-off))
}
