package qcow2

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// NextExtent merges neighbours over cluster and table borders. A plain cluster
// that is a hole of the file, as preallocation leaves them, is Zero; else it says
// where on the host it lies, if the source knows.
func (img *image) NextExtent(off, n int64) (blockdev.Extent, error) {
	if off < 0 || n <= 0 || off >= img.Size() || n > img.Size()-off {
		return blockdev.Extent{}, fmt.Errorf("qcow2: extent %d+%d outside a disk of %d bytes", off, n, img.Size())
	}
	r, err := img.m.next(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	switch r.kind {
	case plain:
		e, err := blockdev.NextExtent(img.m.data, r.host, r.n)
		e.Off = off
		return e, err
	case packed:
		return blockdev.Extent{Off: off, Len: min(r.n, n), Kind: blockdev.Data}, nil
	case unallocated:
		return imagefmt.ExtentBelow(img.backing, off, min(r.n, n))
	default:
		return blockdev.Extent{Off: off, Len: r.n, Kind: blockdev.Zero}, nil
	}
}
