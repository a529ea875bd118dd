package vhd

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Format is VHD: fixed, dynamic and differencing images. It has no state.
type Format struct{}

var (
	_ imagefmt.Format    = Format{}
	_ imagefmt.Describer = Format{}
)

// Name is "vhd"; qemu-img calls it vpc.
func (Format) Name() string { return layer }

// Probe looks for a footer at both ends. A fixed image has one only at its end,
// where a raw disk may end in such bytes by chance: there the checksum counts.
func (Format) Probe(src imagefmt.Source) (ondisk.Match, error) {
	fs, err := readFooters(src)
	switch {
	case err != nil:
		return ondisk.None, err
	case fs.copy != nil || fs.tail != nil && fs.tail.sound:
		return ondisk.Sure, nil
	case fs.tail != nil:
		return ondisk.Maybe, nil
	}
	return ondisk.None, nil
}

// Describe reports what the structures say, also when the parent is missing. It
// opens no other file.
func (Format) Describe(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Info, error) {
	m, err := readMeta(src, opts.Limits.OrDefault())
	if err != nil {
		return imagefmt.Info{}, err
	}
	return m.describe(), nil
}

// Open opens an image for reading, and the parents of a differencing one by
// src.Sibling and opts.Backing. The size is the footer's current size, which is
// exact; that of the geometry may fall short of it.
func (Format) Open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	limits := opts.Limits.OrDefault()
	m, err := readMeta(src, limits)
	if err != nil {
		return nil, err
	}
	if m.footer.DiskType == typeFixed {
		return newFixedImage(src, m)
	}
	img := newSparseImage(src, m, limits)
	if m.footer.DiskType == typeDifferencing {
		if err := img.openParent(ctx, m, opts); err != nil {
			return nil, err
		}
	}
	return img, nil
}
