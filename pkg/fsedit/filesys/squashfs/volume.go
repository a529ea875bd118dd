package squashfs

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Driver reads squashfs. It is a stateless value.
type Driver struct{}

var _ filesys.Driver = Driver{}

func (Driver) Name() string { return layer }

// Probe reads the superblock. Sure means that its geometry makes sense.
func (Driver) Probe(dev blockdev.Device) (ondisk.Match, filesys.Ident, error) {
	s, err := readSuper(dev)
	if errors.Is(err, ondisk.ErrFormat) {
		return ondisk.None, filesys.Ident{}, nil
	}
	if err != nil {
		return ondisk.None, filesys.Ident{}, err
	}
	if s.check(dev.Size()) != nil {
		return ondisk.Maybe, s.ident(), nil
	}
	return ondisk.Sure, s.ident(), nil
}

// Open reads the superblock of the one member.
func (Driver) Open(ctx context.Context, members []blockdev.Device, opts filesys.Options) (filesys.Volume, error) {
	if len(members) != 1 {
		return nil, superAt().Unsupported("%d members, squashfs has one", len(members))
	}
	dev := members[0]
	s, err := readSuper(dev)
	if err != nil {
		return nil, err
	}
	if err := s.check(dev.Size()); err != nil {
		return nil, err
	}
	limits := opts.Limits.OrDefault()
	v := &volume{
		dev: dev, super: s, used: int64(s.Used), limits: limits,
		cache: ondisk.NewBlockCache[int64](limits.Cache / 2), data: ondisk.NewBlockCache[int64](limits.Cache / 2),
	}
	if v.method, v.codec, err = newCodec(s.Compression); err != nil {
		return nil, err
	}
	return v, ctx.Err()
}

// volume is an open squashfs. It has no state but its caches.
type volume struct {
	dev    blockdev.Device
	super  super
	used   int64
	limits ondisk.Limits
	method string
	codec  codec
	cache  *ondisk.BlockCache[int64] // metadata blocks
	data   *ondisk.BlockCache[int64] // data and fragment blocks
}

var _ filesys.Volume = (*volume)(nil)

// tree is the FS of a volume. Its nodes are the places of inodes.
type tree struct{ *volume }

var _ filesys.FS = tree{}

func (v *volume) Ident() filesys.Ident { return v.super.ident() }

func (v *volume) Info() filesys.Info {
	return filesys.Info{Features: []string{v.method}, ReadOnly: "squashfs is never written in place"}
}

func (v *volume) Root(subvolume string) (filesys.FS, error) {
	if subvolume != "" {
		return nil, superAt().Unsupported("subvolume %q: squashfs has none", subvolume)
	}
	return tree{v}, nil
}

func (v *volume) Edit(filesys.EditOptions) (filesys.Editor, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Wrap(ondisk.Because(ondisk.ErrReadOnly, "%s", v.Info().ReadOnly))
}

// FreeExtents is nothing: all of a squashfs is in use.
func (v *volume) FreeExtents(context.Context) ([]filesys.Range, error) { return nil, nil }

func (v *volume) Space() filesys.Space {
	block := int64(v.super.BlockSize)
	return filesys.Space{BlockSize: block, Blocks: ondisk.DivUp(v.used, block), Inodes: int64(v.super.Inodes)}
}

// codecError makes what a decompressor says about its input a sentinel.
func codecError(err error) error {
	if errors.Is(err, ondisk.ErrCorrupt) || errors.Is(err, ondisk.ErrUnsupported) {
		return err
	}
	return ondisk.Because(ondisk.ErrCorrupt, "%v", err)
}
