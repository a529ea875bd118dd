package ext

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Driver reads and edits ext2, ext3 and ext4.
type Driver struct{}

var _ filesys.Driver = Driver{}

func (Driver) Name() string { return "ext" }

// Probe reads the superblock. Sure means that its checksum agrees, or that it
// has none and its geometry makes sense.
func (Driver) Probe(dev blockdev.Device) (ondisk.Match, filesys.Ident, error) {
	s, err := readSuper(dev)
	switch {
	case errors.Is(err, ondisk.ErrFormat):
		return ondisk.None, filesys.Ident{}, nil
	case errors.Is(err, ondisk.ErrCorrupt), errors.Is(err, ondisk.ErrUnsupported):
		return ondisk.Maybe, filesys.Ident{Type: "ext4"}, nil
	case err != nil:
		return ondisk.None, filesys.Ident{}, err
	}
	if s.FeatureIncompat&fiJournalDev != 0 {
		return ondisk.Sure, filesys.Ident{Type: "jbd", UUID: formatUUID(s.UUID)}, nil
	}
	if _, err := s.geometry(dev.Size()); errors.Is(err, ondisk.ErrCorrupt) {
		return ondisk.Maybe, s.ident(), nil
	}
	return ondisk.Sure, s.ident(), nil
}

// Open reads the superblock, and replays the journal of a filesystem that was
// not unmounted into the one member, which must then be Writable.
func (Driver) Open(ctx context.Context, members []blockdev.Device, opts filesys.Options) (filesys.Volume, error) {
	if len(members) != 1 {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("%d members, ext has one", len(members))
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
