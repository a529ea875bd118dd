package vhd

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.RawWrapper = Format{}

// WrapRaw makes a fixed image of a raw disk: zeros up to a size that the format
// has, and the footer.
func (Format) WrapRaw(_ context.Context, file imagefmt.File, opts imagefmt.CreateOptions) error {
	s, err := newSettings(file.Size(), opts)
	if err != nil {
		return err
	}
	if !s.fixed {
		return ondisk.At(layer, "options", ondisk.NoOffset).Unsupported("only a fixed image is a raw disk with a footer: choose subformat=fixed")
	}
	f, err := newDiskFooter(s, opts)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(encode(f, offFooterChecksum), s.size)
	return err
}

// UnwrapRaw cuts the footer of a fixed image off, and with it whatever lies
// between the disk and the footer.
func (Format) UnwrapRaw(_ context.Context, file imagefmt.File, _ imagefmt.OpenOptions) error {
	f, err := readTail(file)
	if err != nil {
		return err
	}
	if f == nil {
		return ondisk.At(layer, "footer", file.Size()-footerSize).Format("the file does not end in a footer")
	}
	if err := f.validate(); err != nil {
		return err
	}
	if f.DiskType != typeFixed {
		return ondisk.At(layer, "footer", f.off).Unsupported("the image is %s; only a fixed one is a raw disk with a footer", f.variant())
	}
	if f.size() > f.off {
		return f.place().Corrupt("a disk of %d bytes does not fit before it", f.size())
	}
	return file.Truncate(f.size())
}
