package vdi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Format is VDI 1.1. It has no state.
type Format struct{}

var (
	_ imagefmt.Format    = Format{}
	_ imagefmt.Describer = Format{}
)

// Name is "vdi", as for qemu-img.
func (Format) Name() string { return layer }

// Probe looks at the signature.
func (Format) Probe(src imagefmt.Source) (ondisk.Match, error) {
	var buf [4]byte
	n, err := src.ReadAt(buf[:], 0x40)
	if err != nil && !errors.Is(err, io.EOF) {
		return ondisk.None, err
	}
	if n < len(buf) || binary.LittleEndian.Uint32(buf[:]) != signature {
		return ondisk.None, nil
	}
	return ondisk.Sure, nil
}

// Describe reports what the header says, also of differencing and undo images.
func (Format) Describe(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Info, error) {
	h, err := readHeader(src, opts.Limits.OrDefault())
	if err != nil {
		return imagefmt.Info{}, err
	}
	return h.info(), nil
}

// Open opens an image for reading. Differencing and undo images are
// ondisk.ErrUnsupported.
func (Format) Open(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	return open(src, opts.Limits.OrDefault())
}

func (h *header) info() imagefmt.Info {
	info := imagefmt.Info{
		Format:      layer,
		Variant:     [...]string{typeDynamic: "dynamic", typeStatic: "static", typeUndo: "undo", typeDiff: "differencing"}[h.Type],
		VirtualSize: h.size(),
		ClusterSize: h.blockSize(),
	}
	if h.BlockExtra != 0 {
		info.Features = append(info.Features, fmt.Sprintf("block-extra=%d", h.BlockExtra))
	}
	if h.differencing() {
		info.Backing = &imagefmt.Reference{Name: "{" + h.Link.String() + "}", Format: layer}
	}
	if int64(h.DiskSize) != h.size() {
		info.Notices = append(info.Notices, imagefmt.Notice{ID: "vdi-odd-size",
			Text: fmt.Sprintf("the disk has %d bytes; it is read in whole sectors, as %d", h.DiskSize, h.size())})
	}
	return info
}
