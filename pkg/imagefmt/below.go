package imagefmt

import (
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// An image that does not store a range leaves it to the image below: its backing
// file, its parent. There may be none, which is nil, and it may be shorter; then
// the range is zeros. These functions are for the formats that have chains.

// ReadBelow fills p with what the image below has at off.
func ReadBelow(below Image, p []byte, off int64) error {
	if below != nil && off < below.Size() {
		n := min(int64(len(p)), below.Size()-off)
		if err := ondisk.Full(below, p[:n], off); err != nil {
			return err
		}
		p = p[n:]
	}
	clear(p)
	return nil
}

// ExtentBelow is the extent of the image below at off, at most n bytes long.
func ExtentBelow(below Image, off, n int64) (blockdev.Extent, error) {
	if below == nil || off >= below.Size() {
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
	}
	return blockdev.NextExtent(below, off, min(n, below.Size()-off))
}

// MapBelow is the entry of the image below at off, at most n bytes long.
func MapBelow(below Image, off, n int64) (MapEntry, error) {
	if below == nil || off >= below.Size() {
		return MapEntry{Off: off, Len: n, State: Hole, HostOff: -1}, nil
	}
	e, err := NextMapEntry(below, off, min(n, below.Size()-off))
	e.Depth++
	return e, err
}
