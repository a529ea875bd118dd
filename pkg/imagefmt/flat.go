package imagefmt

import (
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Flat puts the bytes of a disk, which come in ascending order, where they belong
// in a file that holds the disk as it is.
type Flat struct {
	Sink   Sink
	Sparse bool // what is not written reads as zeros, and may stay so

	settled int64 // bytes before here are written, or holes
}

// Put writes p, and zeros in the gap before it. In a sparse file that gap and the
// pages of zeros in p are holes.
func (f *Flat) Put(p []byte, off int64) error {
	if f.Sparse {
		return WriteSparse(f.Sink, p, off)
	}
	if err := f.Fill(off); err != nil {
		return err
	}
	f.settled = off + int64(len(p))
	_, err := f.Sink.WriteAt(p, off)
	return err
}

// Fill makes all bytes up to end zeros that were not put.
func (f *Flat) Fill(end int64) error {
	if f.Sparse {
		return nil
	}
	from := f.settled
	f.settled = end
	return WriteZeros(f.Sink, from, end-from)
}

// WriteSparse writes p but for its pages of zeros, to a file that reads as zeros
// there.
func WriteSparse(w io.WriterAt, p []byte, off int64) error {
	for len(p) > 0 {
		from, to := ondisk.DataRun(p, off)
		if from < to {
			if _, err := w.WriteAt(p[from:to], off+int64(from)); err != nil {
				return err
			}
		}
		p, off = p[to:], off+int64(to)
	}
	return nil
}
