package xva

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// holeSize is how many zeros inside a chunk are worth a hole in the archive.
const holeSize = 64 << 10

// diskWriter writes one disk of a machine.
type diskWriter struct {
	ascent  imagefmt.Ascent
	machine *MachineWriter
	ref     string
	dense   bool  // chunks of zeros are written too
	last    int64 // number of the last chunk in the archive, -1 at first
	part    []byte
	partNo  int64 // number of the chunk that part is filled for
	used    bool  // part holds something
}

var _ imagefmt.Writer = (*diskWriter)(nil)

// WriteAt takes data of any size and alignment, in ascending order.
func (w *diskWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); {
		step, err := w.take(p[n:], off+int64(n))
		if err != nil {
			return n, w.ascent.Keep(err)
		}
		n += step
	}
	return len(p), nil
}

// Zero has nothing to write: what is not written is zeros.
func (w *diskWriter) Zero(off, n int64) error { return w.ascent.Admit(off, n) }

// take uses up p as far as the chunk reaches that off is in.
func (w *diskWriter) take(p []byte, off int64) (int, error) {
	number := off / chunkSize
	in, length := off-number*chunkSize, w.length(number)
	if w.used && w.partNo != number {
		if err := w.endPart(); err != nil {
			return 0, err
		}
	}
	if !w.used && in == 0 && int64(len(p)) >= length {
		return int(length), w.chunk(p[:length], number)
	}
	if !w.used {
		if w.part == nil {
			w.part = make([]byte, chunkSize)
		}
		clear(w.part)
		w.partNo, w.used = number, true
	}
	n := copy(w.part[in:length], p)
	if in+int64(n) == length {
		return n, w.endPart()
	}
	return n, nil
}

// length is how many bytes of the disk a chunk has.
func (w *diskWriter) length(number int64) int64 {
	return min(chunkSize, w.ascent.Size-number*chunkSize)
}

func (w *diskWriter) endPart() error {
	if !w.used {
		return nil
	}
	w.used = false
	return w.chunk(w.part[:w.length(w.partNo)], w.partNo)
}

// chunk adds a chunk to the archive, unless it is zeros and may be left out.
func (w *diskWriter) chunk(p []byte, number int64) error {
	isLast := number == (w.ascent.Size-1)/chunkSize
	if ondisk.IsZero(p) && number > 0 && !isLast && !w.dense {
		return nil
	}
	if err := w.fill(number); err != nil {
		return err
	}
	return w.put(p, number)
}

// fill adds the chunks of zeros before number that must be there.
func (w *diskWriter) fill(number int64) error {
	for w.last+1 < number && (w.last < 0 || w.dense) {
		next := w.last + 1
		if err := w.put(make([]byte, w.length(next)), next); err != nil {
			return err
		}
	}
	return nil
}

// put adds a chunk and its checksum.
func (w *diskWriter) put(p []byte, number int64) error {
	name := chunkName{ref: w.ref, number: number}
	m, err := w.machine.tar.NewMember(name.String(), int64(len(p)))
	if err != nil {
		return err
	}
	if err := writeSparse(m, p); err != nil {
		return err
	}
	if err := m.Close(); err != nil {
		return err
	}
	w.last = number
	name.sum = xxh64
	return w.machine.tar.WriteFile(name.String(), []byte(checksum(xxh64, p)))
}

// writeSparse writes p, and long runs of zeros in it as such.
func writeSparse(m *tarfile.MemberSink, p []byte) error {
	for at := 0; at < len(p); {
		zero := ondisk.IsZero(p[at:min(len(p), at+holeSize)])
		end := at
		for end < len(p) && ondisk.IsZero(p[end:min(len(p), end+holeSize)]) == zero {
			end = min(len(p), end+holeSize)
		}
		var err error
		if zero {
			err = m.Zero(int64(at), int64(end-at))
		} else {
			_, err = m.WriteAt(p[at:end], int64(at))
		}
		if err != nil {
			return err
		}
		at = end
	}
	return nil
}

// Finish adds what is missing: the first and the last chunk.
func (w *diskWriter) Finish(ctx context.Context) error { return w.ascent.Finish(ctx, w.finish) }

func (w *diskWriter) finish() error {
	if err := w.endPart(); err != nil {
		return err
	}
	if last := (w.ascent.Size - 1) / chunkSize; w.ascent.Size > 0 && w.last != last {
		if err := w.chunk(make([]byte, w.length(last)), last); err != nil {
			return err
		}
	}
	w.machine.open = nil
	return nil
}

// Abort gives the whole export up.
func (w *diskWriter) Abort() error {
	if w.ascent.Ended() {
		return nil
	}
	return errors.Join(w.ascent.Abort(), w.machine.Abort())
}
