package qcow2

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

var _ imagefmt.Mapper = (*image)(nil)

// NextMapEntry counts a cluster that was allocated ahead as Stored, whether or
// not its bytes are a hole of the file.
func (img *image) NextMapEntry(off, n int64) (imagefmt.MapEntry, error) {
	if off < 0 || n <= 0 || off >= img.Size() || n > img.Size()-off {
		return imagefmt.MapEntry{}, fmt.Errorf("qcow2: map entry %d+%d outside a disk of %d bytes", off, n, img.Size())
	}
	r, err := img.m.next(off, n)
	if err != nil {
		return imagefmt.MapEntry{}, err
	}
	e := imagefmt.MapEntry{Off: off, Len: min(r.n, n), HostOff: -1}
	switch r.kind {
	case plain:
		e.State, e.HostOff, e.File = imagefmt.Stored, r.host, img.dataName()
	case packed:
		e.State, e.File = imagefmt.Compressed, img.src.Name()
	case zeroed:
		e.State = imagefmt.Zero
	case unallocated:
		return imagefmt.MapBelow(img.backing, off, e.Len)
	}
	return e, nil
}

// dataName is the file that holds plain clusters.
func (img *image) dataName() string {
	if img.data != nil {
		return img.data.Name()
	}
	return img.src.Name()
}
