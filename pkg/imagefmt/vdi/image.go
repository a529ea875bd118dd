package vdi

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// image is an open image. It is safe for concurrent reads.
type image struct {
	src imagefmt.Source
	m   *blockMap
}

var (
	_ imagefmt.Image    = (*image)(nil)
	_ imagefmt.Mapper   = (*image)(nil)
	_ blockdev.Extenter = (*image)(nil)
)

func open(src imagefmt.Source, limits ondisk.Limits) (*image, error) {
	h, err := readHeader(src, limits)
	if err != nil {
		return nil, err
	}
	if err := h.refusal(); err != nil {
		return nil, err
	}
	return &image{src: src, m: newBlockMap(src, h, limits)}, nil
}

func (img *image) Size() int64         { return img.m.size() }
func (img *image) Info() imagefmt.Info { return img.m.info() }
func (img *image) Close() error        { return img.src.Close() }

// ReadAt reads guest bytes; neighbours in the file are read at once.
func (img *image) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, img.Size(), func(p []byte, off int64) (int, error) {
		r, err := img.m.next(off, int64(len(p)))
		if err != nil {
			return 0, err
		}
		p = p[:r.n]
		if r.state != imagefmt.Stored {
			clear(p)
			return len(p), nil
		}
		return len(p), ondisk.At(layer, "block", r.host).Wrap(ondisk.Full(img.src, p, r.host))
	})
}

// NextExtent merges neighbours. A stored block that is a hole of the file, as
// static images have them, is Zero; else it says where on the host it lies, if
// the source knows.
func (img *image) NextExtent(off, n int64) (blockdev.Extent, error) {
	r, err := img.next(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	if r.state != imagefmt.Stored {
		return blockdev.Extent{Off: off, Len: r.n, Kind: blockdev.Zero}, nil
	}
	e, err := blockdev.NextExtent(img.src, r.host, r.n)
	e.Off = off
	return e, err
}

// NextMapEntry tells blocks that were never written from blocks of zeros.
func (img *image) NextMapEntry(off, n int64) (imagefmt.MapEntry, error) {
	r, err := img.next(off, n)
	if err != nil {
		return imagefmt.MapEntry{}, err
	}
	e := imagefmt.MapEntry{Off: off, Len: r.n, State: r.state, HostOff: -1}
	if r.state == imagefmt.Stored {
		e.File, e.HostOff = img.src.Name(), r.host
	}
	return e, nil
}

func (img *image) next(off, n int64) (run, error) {
	if n <= 0 || off >= img.Size() || !ondisk.InRange(off, n, img.Size()) {
		return run{}, fmt.Errorf("vdi: range %d+%d outside a disk of %d bytes", off, n, img.Size())
	}
	return img.m.next(off, n)
}
