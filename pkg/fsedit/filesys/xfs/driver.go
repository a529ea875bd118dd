package xfs

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// layer names this package in errors, and the filesystem.
const layer = "xfs"

// Driver reads XFS. It is a stateless value.
type Driver struct{}

var _ filesys.Driver = Driver{}

func (Driver) Name() string { return layer }

// Probe reads the superblock. Sure means that its geometry makes sense, and its
// checksum agrees where it has one.
func (Driver) Probe(dev blockdev.Device) (ondisk.Match, filesys.Ident, error) {
	s, err := readSuper(dev)
	switch {
	case errors.Is(err, ondisk.ErrFormat):
		return ondisk.None, filesys.Ident{}, nil
	case errors.Is(err, ondisk.ErrCorrupt), errors.Is(err, ondisk.ErrUnsupported):
		return ondisk.Maybe, filesys.Ident{Type: layer}, nil
	case err != nil:
		return ondisk.None, filesys.Ident{}, err
	}
	if _, err := s.geometry(dev.Size()); errors.Is(err, ondisk.ErrCorrupt) {
		return ondisk.Maybe, s.ident(), nil
	}
	return ondisk.Sure, s.ident(), nil
}

// Open reads the superblock and looks for the end of the log. What the log of a
// filesystem that was not unmounted holds is replayed into the one member, which
// must then be Writable.
func (Driver) Open(ctx context.Context, members []blockdev.Device, opts filesys.Options) (filesys.Volume, error) {
	if len(members) != 1 {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("%d members, xfs has one", len(members))
	}
	v, err := newVolume(members[0], opts.Limits)
	if err != nil {
		return nil, err
	}
	if err := v.recover(ctx); err != nil {
		return nil, err
	}
	return v, nil
}
