package vmdk

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// grainBytes is the grain that we write: what VMware and QEMU write.
const grainBytes = defaultGrainSectors * sectorSize

// body is where the content of a new disk goes, in one of the subformats.
type body interface {
	// put stores bytes from a grain's beginning to a grain's end, or to the end
	// of the disk. Calls ascend; what they leave out is zeros.
	put(p []byte, off int64) error
	// finish writes what is still missing, and syncs.
	finish() error
}

// writer takes pieces of any size and makes whole grains of them.
type writer struct {
	ascent imagefmt.Ascent
	body   body

	part    []byte // a grain that is filled in pieces
	partOff int64  // its guest offset; -1 without one
}

// newWriter is for a disk of size bytes, whole sectors.
func newWriter(b body, size int64) *writer {
	return &writer{ascent: imagefmt.Ascent{Name: layer, Size: size}, body: b, partOff: -1}
}

// WriteAt takes data of any size and alignment, in ascending order. Grains of
// zeros take no room.
func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.write(p, off)
	return n, w.ascent.Keep(err)
}

// Zero takes no room.
func (w *writer) Zero(off, n int64) error { return w.ascent.Admit(off, n) }

func (w *writer) write(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		step := len(p) - n
		if in := int(at % grainBytes); in == 0 && step >= grainBytes {
			step -= step % grainBytes
			err = w.grains(p[n:n+step], at)
		} else {
			step = min(step, grainBytes-in)
			err = w.piece(p[n:n+step], at)
		}
		if err != nil {
			return n, err
		}
		n += step
	}
	return n, nil
}

// grains takes whole ones.
func (w *writer) grains(p []byte, off int64) error {
	if err := w.endPart(); err != nil {
		return err
	}
	return w.body.put(p, off)
}

// piece puts less than a grain into the grain being filled.
func (w *writer) piece(p []byte, off int64) error {
	base := ondisk.AlignDown(off, grainBytes)
	if w.partOff != base {
		if err := w.endPart(); err != nil {
			return err
		}
		if w.part == nil {
			w.part = make([]byte, grainBytes)
		}
		clear(w.part)
		w.partOff = base
	}
	copy(w.part[off-base:], p)
	return nil
}

// endPart settles the grain that was filled in pieces.
func (w *writer) endPart() error {
	if w.partOff < 0 {
		return nil
	}
	off := w.partOff
	w.partOff = -1
	return w.body.put(w.part[:grainLength(off, w.ascent.Size)], off)
}

// grainLength is the length of the grain at off: the last one of a disk may be
// shorter than the others.
func grainLength(off, size int64) int64 { return min(grainBytes, size-off) }

// Finish writes the tables, syncs, and then writes the first sector and syncs
// again.
func (w *writer) Finish(ctx context.Context) error {
	return w.ascent.Finish(ctx, func() error {
		if err := w.endPart(); err != nil {
			return err
		}
		return w.body.finish()
	})
}

// Abort leaves the sink as it is: without its first sector it holds no image.
func (w *writer) Abort() error { return w.ascent.Abort() }

var _ imagefmt.Writer = (*writer)(nil)
