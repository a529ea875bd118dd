package raw

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Format reads, writes and updates raw images.
type Format struct{}

var (
	_ imagefmt.Creator = Format{}
	_ imagefmt.Updater = Format{}
)

func (Format) Name() string      { return "raw" }
func (Format) Extension() string { return "img" }

// Probe reads nothing: nothing in a raw image tells that it is one.
func (Format) Probe(imagefmt.Source) (ondisk.Match, error) { return ondisk.Maybe, nil }

func (Format) Open(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	if err := checkSize(src, opts.Limits); err != nil {
		return nil, err
	}
	return &image{inner: src}, nil
}

func checkSize(src imagefmt.Source, limits ondisk.Limits) error {
	if limit := limits.OrDefault().VirtualSize; src.Size() > limit {
		return ondisk.At("raw", src.Name(), ondisk.NoOffset).TooBig("%d bytes, over the limit of %d", src.Size(), limit)
	}
	return nil
}

// image passes everything on, the place of data on the host too.
type image struct {
	inner imagefmt.Source
}

func (m *image) Size() int64                             { return m.inner.Size() }
func (m *image) ReadAt(p []byte, off int64) (int, error) { return m.inner.ReadAt(p, off) }
func (m *image) Close() error                            { return m.inner.Close() }

func (m *image) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(m.inner, off, n)
}

func (m *image) SectorSize() (logical, physical int) { return blockdev.SectorSize(m.inner) }

func (m *image) Info() imagefmt.Info {
	return imagefmt.Info{Format: "raw", VirtualSize: m.Size()}
}
