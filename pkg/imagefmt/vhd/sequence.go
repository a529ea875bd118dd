package vhd

import (
	"errors"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// sequence is the life of a writer: ascending ranges, then one end.
type sequence struct {
	size  int64 // of the disk
	next  int64 // all before it is settled
	ended bool
	err   error // the first failure; there is no image after it
}

var errAborted = errors.New("vhd: the image was given up")

// admit checks a range. A mistake of the caller leaves the image as it was.
func (s *sequence) admit(off, n int64) error {
	switch {
	case s.err != nil:
		return s.err
	case s.ended:
		return errors.New("vhd: write after the image was finished")
	case !ondisk.InRange(off, n, s.size):
		return fmt.Errorf("vhd: write %d+%d outside a disk of %d bytes", off, n, s.size)
	case off < s.next:
		return fmt.Errorf("vhd: write at %d after one that ended at %d", off, s.next)
	}
	return nil
}

// Abort ends the image. The sink's owner removes what was written.
func (s *sequence) Abort() error {
	if !s.ended {
		s.ended, s.err = true, errAborted
	}
	return nil
}

const (
	// pageSize is how many zeros, aligned on the disk, become a hole: the block
	// size of nearly all file systems.
	pageSize = 4096
	// zeroStep is how many zeros are written at once where there are no holes.
	zeroStep = 1 << 20
)

// zeroFill writes zeros to [from, to) of a sink.
func zeroFill(sink imagefmt.Sink, from, to int64) error {
	if from >= to {
		return nil
	}
	zeros := make([]byte, min(to-from, zeroStep))
	for from < to {
		p := zeros[:min(to-from, int64(len(zeros)))]
		if _, err := sink.WriteAt(p, from); err != nil {
			return err
		}
		from += int64(len(p))
	}
	return nil
}

// dataRun finds the first run of pages in p that are not all zeros, as the range
// [from, to) of p. Pages are aligned on the disk, where p begins at off.
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
