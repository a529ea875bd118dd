package vdi

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// writer writes a new image. A block gets its place with its first byte that is
// not zero, the place after the last one; so data that goes on from block to
// block goes on in the file.
type writer struct {
	ascent imagefmt.Ascent
	hdr    diskHeader
	sink   imagefmt.Sink
	static bool
	sparse bool // what is not written reads as zeros

	table   *mapWriter
	open    int64 // the last block that has a place
	settled int64 // bytes of the file before here are written, or holes
}

// prepare makes sure that there is room, and no header of an older image.
func (w *writer) prepare(reserve bool) error {
	if !w.sink.Zeroed() {
		if _, err := w.sink.WriteAt(make([]byte, mapOffset), 0); err != nil {
			return err
		}
	}
	if !w.static {
		return nil
	}
	if err := w.sink.Truncate(w.end()); err != nil {
		return err
	}
	if reserve {
		return imagefmt.Allocate(w.sink, int64(w.hdr.DataOffset), w.end()-int64(w.hdr.DataOffset), false)
	}
	return nil
}

// end is the first byte of the file after all blocks.
func (w *writer) end() int64 { return int64(w.hdr.DataOffset) + int64(w.hdr.Allocated)<<blockBits }

// WriteAt takes data of any size and alignment, in ascending order. Pages of
// zeros take no room.
func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := w.ascent.Keep(w.write(p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Zero takes no room.
func (w *writer) Zero(off, n int64) error { return w.ascent.Admit(off, n) }

// write writes p but for its pages of zeros.
func (w *writer) write(p []byte, off int64) error {
	for len(p) > 0 {
		from, to := ondisk.DataRun(p, off)
		if from < to {
			host, err := w.place(off+int64(from), int64(to-from))
			if err != nil {
				return err
			}
			if err := w.put(p[from:to], host); err != nil {
				return err
			}
		}
		p, off = p[to:], off+int64(to)
	}
	return nil
}

// place is where the n bytes from off belong in the file. They are neighbours
// there: only the first of their blocks can have a place already, the last one.
func (w *writer) place(off, n int64) (int64, error) {
	data := int64(w.hdr.DataOffset)
	if w.static {
		return data + off, nil
	}
	first, last := off>>blockBits, (off+n-1)>>blockBits
	for block := max(first, w.open+1); block <= last; block++ {
		if err := w.table.set(block, int64(w.hdr.Allocated)); err != nil {
			return 0, err
		}
		w.hdr.Allocated++
	}
	w.open = last
	place := int64(w.hdr.Allocated) - 1 - (last - first)
	return data + place<<blockBits + off&(1<<blockBits-1), nil
}

// put writes p behind all that was written before.
func (w *writer) put(p []byte, host int64) error {
	if err := w.fill(host); err != nil {
		return err
	}
	w.settled = host + int64(len(p))
	_, err := w.sink.WriteAt(p, host)
	return err
}

// fill makes the bytes of the file up to end zeros.
func (w *writer) fill(end int64) error {
	if w.sparse {
		return nil
	}
	return imagefmt.WriteZeros(w.sink, w.settled, end-w.settled)
}

// Finish writes the rest of the map, syncs, and then writes the header and syncs
// again.
func (w *writer) Finish(ctx context.Context) error { return w.ascent.Finish(ctx, w.finish) }

func (w *writer) finish() error {
	if w.static {
		for block := range int64(w.hdr.Blocks) {
			if err := w.table.set(block, block); err != nil {
				return err
			}
		}
	}
	if err := w.table.finish(); err != nil {
		return err
	}
	if err := w.fill(w.end()); err != nil {
		return err
	}
	if err := w.sink.Truncate(w.end()); err != nil {
		return err
	}
	if err := w.sink.Sync(); err != nil {
		return err
	}
	if _, err := w.sink.WriteAt(w.hdr.encode(), 0); err != nil {
		return err
	}
	return w.sink.Sync()
}

// Abort leaves the sink as it is; without a header it holds no image.
func (w *writer) Abort() error { return w.ascent.Abort() }
