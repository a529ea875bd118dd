package vhdx

import (
	"context"
	"errors"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Format is VHDX, version 1. It has no state.
type Format struct{}

var (
	_ imagefmt.Format    = Format{}
	_ imagefmt.Describer = Format{}
)

// Name is "vhdx", as for qemu-img.
func (Format) Name() string { return layer }

// Probe looks at the file identifier.
func (Format) Probe(src imagefmt.Source) (ondisk.Match, error) {
	var id [len(identifierMagic)]byte
	if _, err := src.ReadAt(id[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return ondisk.None, err
	}
	if id != identifierMagic {
		return ondisk.None, nil
	}
	return ondisk.Sure, nil
}

// Describe reports what the headers and the metadata say, also of an image whose
// parent is missing. It opens no other file.
func (Format) Describe(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Info, error) {
	t, err := readTables(src, opts.Limits.OrDefault())
	if err != nil {
		return imagefmt.Info{}, err
	}
	return t.info(), nil
}

// Open opens an image for reading, and the parents of one that has a parent, by
// src.Sibling and opts.Backing. A log that is not empty is replayed in memory.
func (Format) Open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	return open(ctx, src, opts)
}
