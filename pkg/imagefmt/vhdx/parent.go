package vhdx

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// openParent opens the image below a differencing one. It is a VHDX by
// definition, and has to have the identity that the locator demands, so that it
// does no harm to look for it in more than one place.
func openParent(ctx context.Context, src imagefmt.Source, l locator, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	at := ondisk.At(layer, "parent", ondisk.NoOffset)
	names := l.names()
	if len(names) == 0 {
		return nil, at.Corrupt("the parent locator has no path")
	}
	if opts.Backing == nil {
		return nil, at.Blocked("the image needs %q", names[0])
	}
	var first error
	for _, name := range names {
		below, err := src.Sibling(name)
		if err != nil {
			if first == nil {
				first = at.In("%q", name).Wrap(err)
			}
			continue
		}
		img, err := openLinked(ctx, below, l, opts)
		if err != nil {
			below.Close()
			return nil, at.In("%q", name).Wrap(err)
		}
		return img, nil
	}
	return nil, first
}

// openLinked opens below if it is the parent that the locator means.
func openLinked(ctx context.Context, below imagefmt.Source, l locator, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	h, err := readHeader(below)
	if err != nil {
		return nil, err
	}
	if !l.linkedTo(h.DataWrite) {
		return nil, ondisk.Because(ondisk.ErrCorrupt,
			"it was changed since the image was made, or is another one: its identity is %v, and %s is wanted", h.DataWrite, l[keyLinkage])
	}
	return opts.Backing(ctx, below, layer)
}
