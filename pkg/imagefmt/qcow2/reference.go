package qcow2

import (
	"context"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// openBacking opens the image below this one, or returns nil when there is none.
// Its format comes from the header alone: a guest can write a forged header to a
// raw disk, so nothing is ever probed here.
func openBacking(ctx context.Context, src imagefmt.Source, h *header, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	if h.backingName == "" {
		return nil, nil
	}
	at := ondisk.At(layer, "backing file", ondisk.NoOffset)
	if err := plainPath(at, h.backingName); err != nil {
		return nil, err
	}
	if h.backingFormat == "" {
		return nil, at.Unsupported("%q is named without its format; name it with qemu-img rebase -u -F", h.backingName)
	}
	if opts.Backing == nil {
		return nil, at.Blocked("the image needs %q", h.backingName)
	}
	below, err := src.Sibling(h.backingName)
	if err != nil {
		return nil, at.In("%q", h.backingName).Wrap(err)
	}
	img, err := opts.Backing(ctx, below, h.backingFormat)
	if err != nil {
		below.Close()
		return nil, at.In("%q", h.backingName).Wrap(err)
	}
	return img, nil
}

// openData opens the external data file, which is raw by definition, or returns
// nil when the clusters lie in the image itself.
func openData(src imagefmt.Source, h *header) (imagefmt.Source, error) {
	if !h.has(incompatDataFile) {
		return nil, nil
	}
	at := ondisk.At(layer, "data file", ondisk.NoOffset)
	if h.dataFileName == "" {
		return nil, at.Corrupt("the image has an external data file but does not name it")
	}
	if err := plainPath(at, h.dataFileName); err != nil {
		return nil, err
	}
	data, err := src.Sibling(h.dataFileName)
	if err != nil {
		return nil, at.In("%q", h.dataFileName).Wrap(err)
	}
	return data, nil
}

// plainPath refuses the names that mean more than a path to QEMU: "json:{…}" and
// "nbd://host". A single letter is a drive of Windows.
func plainPath(at ondisk.Place, name string) error {
	i := strings.IndexAny(name, ":/\\")
	if i > 1 && name[i] == ':' {
		return at.Unsupported("%q: references of type %q are not followed", name, name[:i])
	}
	return nil
}
