package vmdk

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// image is an open disk. It is safe for concurrent reads.
type image struct {
	src     imagefmt.Source
	head    *head
	info    imagefmt.Info
	extents []*extent // ascending, without gaps
	others  []imagefmt.Source
	parent  imagefmt.Image // nil without one

	tables  *ondisk.BlockCache[int64] // by the offset of what a table maps
	grains  *ondisk.BlockCache[int64] // unpacked ones of which only a part was wanted
	buffers sync.Pool                 // of *[]byte: compressed grains
}

var (
	_ imagefmt.Image    = (*image)(nil)
	_ blockdev.Extenter = (*image)(nil)
)

// noteGrains completes what only the extents tell.
func (img *image) noteGrains() {
	for _, x := range img.extents {
		if x.m == nil {
			continue
		}
		img.info.ClusterSize = max(img.info.ClusterSize, x.m.grain)
		if x.m.maxStored > 0 {
			img.info.Compression = "zlib"
		}
	}
}

func (img *image) Size() int64 { return img.head.size }

func (img *image) Info() imagefmt.Info { return img.info }

func (img *image) closeOthers() error {
	var errs []error
	if img.parent != nil {
		errs = append(errs, img.parent.Close())
	}
	for _, f := range img.others {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Close closes the first file and every other one that was opened with it.
func (img *image) Close() error { return errors.Join(img.closeOthers(), img.src.Close()) }

// extentAt finds the extent that holds off, an offset inside the disk.
func (img *image) extentAt(off int64) *extent {
	return img.extents[sort.Search(len(img.extents), func(i int) bool { return img.extents[i].end() > off })]
}

// next is the run from off, and the extent it lies in. The n bytes from off lie
// inside the disk.
func (img *image) next(off, n int64) (*extent, run, error) {
	x := img.extentAt(off)
	r, err := x.next(off-x.start, min(n, x.end()-off))
	r.n = min(r.n, n, x.end()-off)
	return x, r, err
}

// ReadAt reads bytes of the disk; neighbours in a file are read at once.
func (img *image) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, img.Size(), func(p []byte, off int64) (int, error) {
		x, r, err := img.next(off, int64(len(p)))
		if err != nil {
			return 0, err
		}
		return int(r.n), img.readRun(p[:r.n], off, x, r)
	})
}

// readRun fills p, the bytes of run r of extent x, from offset off of the disk.
func (img *image) readRun(p []byte, off int64, x *extent, r run) error {
	switch r.kind {
	case plain:
		return ondisk.At(layer, "grain", r.host).Wrap(ondisk.Full(x.file, p, r.host))
	case packed:
		return ondisk.At(layer, "compressed grain", r.host).Wrap(img.readPacked(p, off-x.start, x, r))
	case absent:
		return imagefmt.ReadBelow(img.parent, p, off)
	default:
		clear(p)
		return nil
	}
}

// NextExtent merges neighbours over the borders of grains and tables. It says
// where on the host plain bytes lie, if the file knows.
func (img *image) NextExtent(off, n int64) (blockdev.Extent, error) {
	if err := img.inside(off, n); err != nil {
		return blockdev.Extent{}, err
	}
	x, r, err := img.next(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	switch r.kind {
	case plain:
		e, err := blockdev.NextExtent(x.file, r.host, r.n)
		e.Off = off
		return e, err
	case packed:
		return blockdev.Extent{Off: off, Len: r.n, Kind: blockdev.Data}, nil
	case absent:
		return imagefmt.ExtentBelow(img.parent, off, r.n)
	default:
		return blockdev.Extent{Off: off, Len: r.n, Kind: blockdev.Zero}, nil
	}
}

func (img *image) inside(off, n int64) error {
	if off < 0 || n <= 0 || off >= img.Size() || n > img.Size()-off {
		return fmt.Errorf("vmdk: %d+%d is outside a disk of %d bytes", off, n, img.Size())
	}
	return nil
}
