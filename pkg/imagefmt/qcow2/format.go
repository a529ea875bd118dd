package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Format is qcow2, versions 2 and 3. It has no state.
type Format struct{}

var (
	_ imagefmt.Format    = Format{}
	_ imagefmt.Describer = Format{}
)

// Name is "qcow2", as for qemu-img.
func (Format) Name() string { return layer }

// Probe looks at the magic and the version. Version 1 (qcow) is not ours.
func (Format) Probe(src imagefmt.Source) (ondisk.Match, error) {
	var buf [8]byte
	n, err := src.ReadAt(buf[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ondisk.None, err
	}
	if n < len(buf) || binary.BigEndian.Uint32(buf[:]) != magic || binary.BigEndian.Uint32(buf[4:]) < 2 {
		return ondisk.None, nil
	}
	return ondisk.Sure, nil
}

// Describe reports what the header says, also of an image that cannot be opened:
// encrypted, with a feature that is not known, with a backing file that is
// missing. It opens no other file.
func (Format) Describe(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Info, error) {
	limits := opts.Limits.OrDefault()
	h, err := readHeader(src, limits)
	if err != nil {
		return imagefmt.Info{}, err
	}
	return describe(src, h, limits)
}

// Open opens an image for reading. It opens the backing chain and the external
// data file as well, through opts.Backing and src.Sibling.
func (Format) Open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	return open(ctx, src, opts)
}
