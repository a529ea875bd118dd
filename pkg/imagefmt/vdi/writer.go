package vdi

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// pageSize is how many zeros, aligned, become a hole: the block size of
	// nearly all file systems. It divides a block.
	pageSize = 4096
	// fillStep is how many zeros are written at once where there are no holes.
	fillStep = 1 << 20
)

// writer writes a new image. A block gets its place with its first byte that is
// not zero, the place after the last one; so data that goes on from block to
// block goes on in the file.
type writer struct {
	hdr    diskHeader
	sink   imagefmt.Sink
	static bool
	sparse bool // what is not written reads as zeros

	table   *mapWriter
	open    int64 // the last block that has a place
	settled int64 // bytes of the file before here are written, or holes
	zeros   []byte

	pos   int64 // guest bytes before here are settled
	ended bool
	err   error // the first failure; there is no image after it
}

var errAborted = errors.New("vdi: the image was given up")

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
	if err := w.begin(off, int64(len(p))); err != nil {
		return 0, err
	}
	if w.err = w.write(p, off); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Zero takes no room.
func (w *writer) Zero(off, n int64) error { return w.begin(off, n) }

// begin checks a range and settles it. A mistake of the caller leaves the image
// as it was.
func (w *writer) begin(off, n int64) error {
	switch {
	case w.err != nil:
		return w.err
	case w.ended:
		return errors.New("vdi: write after the image was finished")
	case !ondisk.InRange(off, n, int64(w.hdr.DiskSize)):
		return fmt.Errorf("vdi: write %d+%d outside a disk of %d bytes", off, n, w.hdr.DiskSize)
	case off < w.pos:
		return fmt.Errorf("vdi: write at %d after one that ended at %d", off, w.pos)
	}
	w.pos = off + n
	return nil
}

// write writes p but for its pages of zeros.
func (w *writer) write(p []byte, off int64) error {
	for len(p) > 0 {
		from, to := dataRun(p, off)
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

// dataRun finds the first run of pages in p that are not all zeros, as the range
// [from, to) of p. Pages are aligned in the image, not in p.
func dataRun(p []byte, off int64) (from, to int) {
	for from < len(p) && ondisk.IsZero(p[from:pageEnd(p, off, from)]) {
		from = pageEnd(p, off, from)
	}
	to = from
	for to < len(p) && !ondisk.IsZero(p[to:pageEnd(p, off, to)]) {
		to = pageEnd(p, off, to)
	}
	return from, to
}

func pageEnd(p []byte, off int64, at int) int {
	return min(len(p), at+pageSize-int((off+int64(at))%pageSize))
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
	if w.zeros == nil {
		w.zeros = make([]byte, fillStep)
	}
	for w.settled < end {
		n := min(end-w.settled, fillStep)
		if _, err := w.sink.WriteAt(w.zeros[:n], w.settled); err != nil {
			return err
		}
		w.settled += n
	}
	return nil
}

// Finish writes the rest of the map, syncs, and then writes the header and syncs
// again.
func (w *writer) Finish(ctx context.Context) error {
	if w.ended || w.err != nil {
		return w.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.ended = true
	w.err = w.finish()
	return w.err
}

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
func (w *writer) Abort() error {
	if !w.ended {
		w.ended, w.err = true, errAborted
	}
	return nil
}
