package vmdk

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// holeSize is how many zeros, aligned, become a hole: the block size of nearly
// all file systems.
const holeSize = 4096

// writeData writes p but for the pages of zeros in it, where the sink reads as
// zeros anyway. off is a multiple of holeSize.
func writeData(sink imagefmt.Sink, p []byte, off int64) error {
	sparse := sink.Zeroed()
	for len(p) > 0 {
		skip, n := 0, len(p)
		if sparse {
			skip, n = dataPages(p)
		}
		if n > skip {
			if _, err := sink.WriteAt(p[skip:n], off+int64(skip)); err != nil {
				return err
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// dataPages finds the first run of pages in p that are not all zeros, as the
// range [from, to) of p.
func dataPages(p []byte) (from, to int) {
	for from < len(p) && ondisk.IsZero(p[from:min(len(p), from+holeSize)]) {
		from = min(len(p), from+holeSize)
	}
	to = from
	for to < len(p) && !ondisk.IsZero(p[to:min(len(p), to+holeSize)]) {
		to = min(len(p), to+holeSize)
	}
	return from, to
}

// flatExtent writes a flat extent: the bytes of the disk where they belong.
type flatExtent struct {
	sink imagefmt.Sink
	size int64
	next int64 // bytes before here are settled
	full bool  // zeros are written
}

func newFlatExtent(sink imagefmt.Sink, size int64, preallocation string) (*flatExtent, error) {
	e := &flatExtent{sink: sink, size: size, full: preallocation == "full" || !sink.Zeroed()}
	if err := sink.Truncate(size); err != nil {
		return nil, err
	}
	if preallocation == "falloc" {
		return e, imagefmt.Allocate(sink, 0, size, false)
	}
	return e, nil
}

func (e *flatExtent) put(p []byte, off int64) error {
	if !e.full {
		return writeData(e.sink, p, off)
	}
	if err := e.fill(off); err != nil {
		return err
	}
	_, err := e.sink.WriteAt(p, off)
	e.next = off + int64(len(p))
	return err
}

// fill writes zeros from what is settled to off.
func (e *flatExtent) fill(off int64) error {
	return imagefmt.Allocate(e.sink, e.next, off-e.next, true)
}

func (e *flatExtent) finish() error {
	if e.full {
		if err := e.fill(e.size); err != nil {
			return err
		}
		e.next = e.size
	}
	return e.sink.Sync()
}
