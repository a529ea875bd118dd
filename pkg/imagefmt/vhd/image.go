package vhd

import (
	"errors"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// fixedImage is a fixed image: a raw disk and a footer behind it.
type fixedImage struct {
	src  imagefmt.Source
	disk blockdev.Device // the part of src before the footer
	info imagefmt.Info
}

// sparseImage is a dynamic or differencing image. It is safe for concurrent
// reads.
type sparseImage struct {
	src    imagefmt.Source
	blocks *blockMap
	parent imagefmt.Image // nil for a dynamic image
	info   imagefmt.Info
}

var (
	_ imagefmt.Image  = (*fixedImage)(nil)
	_ imagefmt.Image  = (*sparseImage)(nil)
	_ imagefmt.Mapper = (*sparseImage)(nil)
)

func newFixedImage(src imagefmt.Source, m *meta) (*fixedImage, error) {
	disk, err := blockdev.NewSection(src, 0, m.footer.size())
	if err != nil {
		return nil, m.footer.place().Wrap(err)
	}
	return &fixedImage{src: src, disk: disk, info: m.describe()}, nil
}

func (img *fixedImage) Size() int64                             { return img.disk.Size() }
func (img *fixedImage) ReadAt(p []byte, off int64) (int, error) { return img.disk.ReadAt(p, off) }
func (img *fixedImage) Info() imagefmt.Info                     { return img.info }
func (img *fixedImage) Close() error                            { return img.src.Close() }

func (img *fixedImage) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(img.disk, off, n)
}

func newSparseImage(src imagefmt.Source, m *meta, limits ondisk.Limits) *sparseImage {
	return &sparseImage{src: src, blocks: newBlockMap(src, m.header, limits), info: m.describe()}
}

func (img *sparseImage) Size() int64         { return img.info.VirtualSize }
func (img *sparseImage) Info() imagefmt.Info { return img.info }

// Close closes the image's file and its parents.
func (img *sparseImage) Close() error {
	if img.parent == nil {
		return img.src.Close()
	}
	return errors.Join(img.parent.Close(), img.src.Close())
}

// ReadAt reads guest bytes.
func (img *sparseImage) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, img.Size(), img.readSome)
}

// readSome fills the beginning of p, at least one run, and says how much.
func (img *sparseImage) readSome(p []byte, off int64) (int, error) {
	r, err := img.blocks.next(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if !r.stored {
		return int(r.n), imagefmt.ReadBelow(img.parent, p[:r.n], off)
	}
	span, err := img.gather(r, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if err := ondisk.Full(img.src, p[:span], r.host); err != nil {
		return 0, ondisk.At(layer, "block", r.host).Wrap(err)
	}
	return int(span), img.fillGaps(p[r.n:span], off+r.n)
}

// gapSize is how many bytes that are not stored are read with their neighbours,
// since one read is cheaper than two.
const gapSize = 32 << 10

// gather is how far from off, in the block where r begins, there are stored
// bytes with only small gaps between them. It ends with a stored byte.
func (img *sparseImage) gather(r run, off, n int64) (int64, error) {
	n = min(n, img.blocks.blockSize-off%img.blocks.blockSize)
	span := r.n
	for at := span; at < n; {
		s, err := img.blocks.within(off+at, n-at)
		if err != nil || !s.stored && s.n > gapSize {
			return span, err
		}
		at += s.n
		if s.stored {
			span = at
		}
	}
	return span, nil
}

// fillGaps replaces what is not stored; the rest of p is read already. What
// lies under such sectors in the file means nothing.
func (img *sparseImage) fillGaps(p []byte, off int64) error {
	for len(p) > 0 {
		r, err := img.blocks.within(off, int64(len(p)))
		if err != nil {
			return err
		}
		if !r.stored {
			if err := imagefmt.ReadBelow(img.parent, p[:r.n], off); err != nil {
				return err
			}
		}
		p, off = p[r.n:], off+r.n
	}
	return nil
}

// NextExtent merges neighbours. What is a hole of the file is Zero even where the
// bitmap calls it stored.
func (img *sparseImage) NextExtent(off, n int64) (blockdev.Extent, error) {
	if !ondisk.InRange(off, n, img.Size()) || n == 0 {
		return blockdev.Extent{}, fmt.Errorf("vhd: extent %d+%d outside a disk of %d bytes", off, n, img.Size())
	}
	r, err := img.blocks.next(off, n)
	switch {
	case err != nil:
		return blockdev.Extent{}, err
	case r.stored:
		e, err := blockdev.NextExtent(img.src, r.host, r.n)
		e.Off = off
		return e, err
	}
	return imagefmt.ExtentBelow(img.parent, off, r.n)
}

// NextMapEntry names the image of the chain that stores a range.
func (img *sparseImage) NextMapEntry(off, n int64) (imagefmt.MapEntry, error) {
	if !ondisk.InRange(off, n, img.Size()) || n == 0 {
		return imagefmt.MapEntry{}, fmt.Errorf("vhd: map of %d+%d outside a disk of %d bytes", off, n, img.Size())
	}
	r, err := img.blocks.next(off, n)
	switch {
	case err != nil:
		return imagefmt.MapEntry{}, err
	case r.stored:
		return imagefmt.MapEntry{Off: off, Len: r.n, State: imagefmt.Stored, File: img.src.Name(), HostOff: r.host}, nil
	}
	return imagefmt.MapBelow(img.parent, off, r.n)
}
