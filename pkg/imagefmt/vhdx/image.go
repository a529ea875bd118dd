package vhdx

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// image is an open image. It is safe for concurrent reads.
type image struct {
	src    imagefmt.Source
	t      *tables
	m      *mapping
	parent imagefmt.Image // nil without one
}

var (
	_ imagefmt.Image    = (*image)(nil)
	_ imagefmt.Mapper   = (*image)(nil)
	_ blockdev.Geometry = (*image)(nil)
)

func open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (*image, error) {
	limits := opts.Limits.OrDefault()
	t, err := readTables(src, limits)
	if err != nil {
		return nil, err
	}
	img := &image{src: src, t: t, m: t.mapping(limits)}
	if t.diff {
		img.parent, err = openParent(ctx, src, t.locator, opts)
	}
	if err != nil {
		return nil, err
	}
	return img, nil
}

// Close closes the image's file and its parents.
func (img *image) Close() error {
	var err error
	if img.parent != nil {
		err = img.parent.Close()
	}
	return errors.Join(err, img.src.Close())
}

func (img *image) Size() int64         { return img.t.size }
func (img *image) Info() imagefmt.Info { return img.t.info() }

// SectorSize is what the metadata says.
func (img *image) SectorSize() (logical, physical int) { return img.t.logical, img.t.physical }

// ReadAt reads guest bytes; neighbours in the file are read at once.
func (img *image) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, img.Size(), func(p []byte, off int64) (int, error) {
		r, err := img.m.next(off, int64(len(p)))
		if err != nil {
			return 0, err
		}
		return int(r.n), img.readRun(p[:r.n], off, r)
	})
}

// readRun fills p, the bytes of run r, which begins at guest offset off.
func (img *image) readRun(p []byte, off int64, r run) error {
	switch r.kind {
	case stored:
		return ondisk.At(layer, "payload", r.host).Wrap(ondisk.Full(img.m.file, p, r.host))
	case absent:
		return imagefmt.ReadBelow(img.parent, p, off)
	default:
		clear(p)
		return nil
	}
}

func (img *image) run(off, n int64) (run, error) {
	if off < 0 || n <= 0 || off >= img.Size() || n > img.Size()-off {
		return run{}, fmt.Errorf("vhdx: extent %d+%d outside a disk of %d bytes", off, n, img.Size())
	}
	return img.m.next(off, n)
}

// NextExtent merges neighbours over block borders. Payload that is a hole of the
// file is Zero; else it says where on the host it lies, if the source knows and
// the log does not hold a newer version.
func (img *image) NextExtent(off, n int64) (blockdev.Extent, error) {
	r, err := img.run(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	switch r.kind {
	case stored:
		e, err := blockdev.NextExtent(img.m.file, r.host, r.n)
		e.Off = off
		return e, err
	case absent:
		return imagefmt.ExtentBelow(img.parent, off, r.n)
	default:
		return blockdev.Extent{Off: off, Len: r.n, Kind: blockdev.Zero}, nil
	}
}

// NextMapEntry tells blocks that are not present from blocks of zeros.
func (img *image) NextMapEntry(off, n int64) (imagefmt.MapEntry, error) {
	r, err := img.run(off, n)
	if err != nil {
		return imagefmt.MapEntry{}, err
	}
	e := imagefmt.MapEntry{Off: off, Len: r.n, HostOff: -1}
	switch r.kind {
	case stored:
		return img.mapStored(e, r)
	case zeroed:
		e.State = imagefmt.Zero
	case absent:
		return imagefmt.MapBelow(img.parent, off, r.n)
	}
	return e, nil
}

// mapStored gives no place to what the log changes.
func (img *image) mapStored(e imagefmt.MapEntry, r run) (imagefmt.MapEntry, error) {
	e.State, e.File = imagefmt.Stored, img.src.Name()
	x, ok := img.t.view.next(r.host)
	switch {
	case ok && x.off <= r.host:
		e.Len = min(e.Len, x.end-r.host)
		return e, nil
	case ok:
		e.Len = min(e.Len, x.off-r.host)
	}
	e.HostOff = r.host
	return e, nil
}
