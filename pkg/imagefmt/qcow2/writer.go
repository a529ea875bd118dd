package qcow2

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// writer writes a new image front to back: data in guest order, each L2 table
// behind the clusters that it maps.
type writer struct {
	ascent imagefmt.Ascent
	settings
	sink  imagefmt.Sink
	stop  func() error // not nil when whoever made the writer gave up
	out   *stage
	alloc *allocator

	ends int64    // guest bytes before here have their clusters, when those are preallocated
	l1   []uint64 // all of it
	l2   []byte   // the table that is being filled
	at   int64    // its index in l1
	used bool     // it maps something

	part     []byte // a cluster that is being filled in pieces; nil without one
	partOff  int64  // its guest offset
	partFrom int64  // bytes of it that were written, from
	partTo   int64  // and to

	scratch []byte // for compressing clusters that come in by WriteAt
}

// WriteAt takes data of any size and alignment, in ascending order. Clusters of
// zeros take no room. Over a backing file the pieces must add up to whole
// clusters, since the writer cannot read what lies below.
func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.write(p, off)
	return int(n), w.ascent.Keep(err)
}

func (w *writer) write(p []byte, off int64) (n int64, err error) {
	size := w.clusterSize()
	for n < int64(len(p)) {
		rest := p[n:]
		at := off + n
		in := at & (size - 1)
		if in == 0 && int64(len(rest)) >= size {
			whole := rest[:ondisk.AlignDown(int64(len(rest)), size)]
			if err := w.clusters(whole, at); err != nil {
				return n, err
			}
			n += int64(len(whole))
			continue
		}
		piece := rest[:min(int64(len(rest)), size-in)]
		if err := w.piece(piece, at); err != nil {
			return n, err
		}
		n += int64(len(piece))
	}
	return n, nil
}

// Zero takes no room; over a backing file it hides what lies below.
func (w *writer) Zero(off, n int64) error {
	if err := w.ascent.Admit(off, n); err != nil || w.backingFile == "" {
		return err
	}
	return w.ascent.Keep(w.hide(off, off+n))
}

// hide covers what the backing file has from off to end.
func (w *writer) hide(off, end int64) error {
	size := w.clusterSize()
	for off < end {
		in := off & (size - 1)
		step := min(end-off, size-in)
		var err error
		if step < size {
			err = w.piece(make([]byte, step), off)
		} else if err = w.endPart(); err == nil {
			err = w.mapZero(off)
		}
		if err != nil {
			return err
		}
		off += step
	}
	return nil
}

// piece puts less than a cluster into the cluster being filled.
func (w *writer) piece(p []byte, off int64) error {
	size := w.clusterSize()
	base := ondisk.AlignDown(off, size)
	if w.part != nil && w.partOff != base {
		if err := w.endPart(); err != nil {
			return err
		}
	}
	if w.part == nil {
		w.part, w.partOff = make([]byte, size), base
		w.partFrom, w.partTo = off-base, off-base
	}
	if w.backingFile != "" && off-base != w.partTo {
		return w.hole(base)
	}
	copy(w.part[off-base:], p)
	w.partTo = off - base + int64(len(p))
	if w.partTo == size {
		return w.endPart()
	}
	return nil
}

func (w *writer) hole(off int64) error {
	return ondisk.At(layer, "overlay", ondisk.NoOffset).Unsupported(
		"the cluster at guest offset %#x is written only in part, which needs the backing file", off)
}

// endPart settles the cluster that was filled in pieces.
func (w *writer) endPart() error {
	if w.part == nil {
		return nil
	}
	p := w.part
	w.part = nil
	whole := w.partFrom == 0 && w.partOff+w.partTo >= min(w.ascent.Size, w.partOff+w.clusterSize())
	if w.backingFile != "" && !whole {
		return w.hole(w.partOff)
	}
	return w.settle(p, w.partOff)
}

// clusters takes whole clusters.
func (w *writer) clusters(p []byte, off int64) error {
	if err := w.endPart(); err != nil {
		return err
	}
	return w.settle(p, off)
}

// settle maps whole clusters, neighbours that hold data at once.
func (w *writer) settle(p []byte, off int64) error {
	size := w.clusterSize()
	for len(p) > 0 {
		if ondisk.IsZero(p[:size]) {
			if err := w.mapZero(off); err != nil {
				return err
			}
			p, off = p[size:], off+size
			continue
		}
		n := size
		if w.compress {
			if err := w.pack(p[:n], off); err != nil {
				return err
			}
			p, off = p[n:], off+n
			continue
		}
		limit := min(int64(len(p)), w.tableSpan()-off%w.tableSpan())
		for n < limit && !ondisk.IsZero(p[n:n+size]) {
			n += size
		}
		if err := w.plain(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// plain writes clusters of one L2 table as they are.
func (w *writer) plain(p []byte, off int64) error {
	if err := w.reserveUpTo(off); err != nil {
		return err
	}
	host, err := w.mapPlain(off, int64(len(p)))
	if err != nil {
		return err
	}
	return w.out.put(p, host)
}

// mapPlain gives a place to n bytes of whole clusters of one L2 table.
func (w *writer) mapPlain(off, n int64) (host int64, err error) {
	if err := w.table(off); err != nil {
		return 0, err
	}
	if host, err = w.alloc.take(n >> w.clusterBits); err != nil {
		return 0, err
	}
	for at := int64(0); at < n; at += w.clusterSize() {
		w.set(off+at, entry{uint64(host+at) | flagCopied, allocMask})
	}
	w.ends = off + n
	return host, nil
}

// pack compresses one cluster that came in by WriteAt.
func (w *writer) pack(p []byte, off int64) error {
	b, err := w.encode(w.scratch, off, p)
	if err != nil {
		return err
	}
	w.scratch = b.Data[:0]
	return w.appendBlock(b)
}

// mapZero leaves a cluster out, or hides what the backing file has there. A
// preallocated one is reserved with its neighbours, before what comes next.
func (w *writer) mapZero(off int64) error {
	if w.backingFile == "" {
		return nil
	}
	if err := w.table(off); err != nil {
		return err
	}
	if w.extended {
		w.set(off, entry{0, allocMask << 32})
	} else {
		w.set(off, entry{flagZero, 0})
	}
	return nil
}

// table makes the L2 table of guest offset off the one being filled.
func (w *writer) table(off int64) error {
	i := off / w.tableSpan()
	if i == w.at {
		return nil
	}
	err := w.endTable()
	w.at = i
	return err
}

// endTable writes the table being filled, if it maps something.
func (w *writer) endTable() error {
	if !w.used {
		return nil
	}
	host, err := w.alloc.take(1)
	if err != nil {
		return err
	}
	if err := w.out.put(w.l2, host); err != nil {
		return err
	}
	w.l1[w.at] = uint64(host) | flagCopied
	clear(w.l2)
	w.used = false
	return nil
}

// set fills the entry of the cluster at off, in the current table.
func (w *writer) set(off int64, e entry) {
	i := off % w.tableSpan() >> w.clusterBits * w.entrySize()
	binary.BigEndian.PutUint64(w.l2[i:], e.word)
	if w.extended {
		binary.BigEndian.PutUint64(w.l2[i+8:], e.bitmap)
	}
	w.used = true
}

// Finish writes the tables, syncs, and then writes the header and syncs again.
func (w *writer) Finish(ctx context.Context) error { return w.ascent.Finish(ctx, w.finish) }

func (w *writer) finish() error {
	if err := w.endPart(); err != nil {
		return err
	}
	if err := w.reserveUpTo(w.ascent.Size); err != nil {
		return err
	}
	if err := w.endTable(); err != nil {
		return err
	}
	var h header
	h.Size, h.L1Size = uint64(w.ascent.Size), uint32(len(w.l1))
	if err := w.finishTables(&h); err != nil {
		return err
	}
	if err := w.out.flush(); err != nil {
		return err
	}
	if err := w.sink.Sync(); err != nil {
		return err
	}
	first := make([]byte, w.clusterSize())
	copy(first, w.firstCluster(h))
	if _, err := w.sink.WriteAt(first, 0); err != nil {
		return err
	}
	return w.sink.Sync()
}

func (w *writer) finishTables(h *header) error {
	l1 := make([]byte, ondisk.AlignUp(int64(len(w.l1))*8, w.clusterSize()))
	for i, e := range w.l1 {
		binary.BigEndian.PutUint64(l1[i*8:], e)
	}
	off, err := w.alloc.take(int64(len(l1)) >> w.clusterBits)
	if err != nil {
		return err
	}
	if err := w.out.put(l1, off); err != nil {
		return err
	}
	table, clusters, err := w.alloc.finish()
	h.L1Offset, h.RefcountTableOffset, h.RefcountTableClusters = uint64(off), uint64(table), uint32(clusters)
	return err
}

// Abort leaves the sink as it is; without a header it holds no image.
func (w *writer) Abort() error { return w.ascent.Abort() }
