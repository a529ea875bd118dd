package iso9660

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Driver reads ISO 9660. It is a stateless value.
type Driver struct{}

var _ filesys.Driver = Driver{}

func (Driver) Name() string { return layer }

// Probe reads the first volume descriptor. Sure means that its geometry makes
// sense.
func (Driver) Probe(dev blockdev.Device) (ondisk.Match, filesys.Ident, error) {
	d, err := readDescriptor(dev, firstSector)
	if errors.Is(err, ondisk.ErrFormat) || err == nil && d.Type != primary {
		return ondisk.None, filesys.Ident{}, nil
	}
	if err != nil {
		return ondisk.None, filesys.Ident{}, err
	}
	id := d.ident()
	if d.check() != nil {
		return ondisk.Maybe, id, nil
	}
	return ondisk.Sure, id, nil
}

// readDescriptor fails with ErrFormat on what is no volume descriptor.
func readDescriptor(dev blockdev.Device, number int64) (*descriptor, error) {
	at := ondisk.At(layer, "volume descriptor", number*sector)
	if dev.Size() < (number+1)*sector {
		return nil, at.Format("too short")
	}
	d, err := ondisk.Read[descriptor](dev, number*sector, le)
	if err != nil {
		return nil, at.Wrap(err)
	}
	if string(d.Identifier[:]) != identifier {
		return nil, at.Format("no signature")
	}
	return &d, nil
}

func (d *descriptor) ident() filesys.Ident {
	return filesys.Ident{Type: layer, UUID: d.uuid(), Label: d.label(), Size: int64(d.Blocks.Value) * int64(d.BlockSize.Value)}
}

func (d *descriptor) check() error {
	at := ondisk.At(layer, "volume descriptor", ondisk.NoOffset)
	switch d.BlockSize.Value {
	case 512, 1024, 2048:
	default:
		return at.Corrupt("blocks of %d bytes", d.BlockSize.Value)
	}
	if r := decodeRecord(d.Root[:]); r.Length != recordSize+1 || r.Flags&flagDir == 0 {
		return at.Corrupt("the root is no directory")
	}
	return nil
}

// Open reads the volume descriptors of the one member.
func (Driver) Open(ctx context.Context, members []blockdev.Device, opts filesys.Options) (filesys.Volume, error) {
	at := ondisk.At(layer, "", ondisk.NoOffset)
	if len(members) != 1 {
		return nil, at.Unsupported("%d members, an ISO 9660 has one", len(members))
	}
	limits := opts.Limits.OrDefault()
	v := &volume{dev: members[0], limits: limits, cache: ondisk.NewBlockCache[int64](limits.Cache)}
	joliet, err := v.readDescriptors()
	if err != nil {
		return nil, err
	}
	if err := v.main.check(); err != nil {
		return nil, err
	}
	v.use(v.main, plain)
	rock, err := v.findRock()
	switch {
	case err != nil && joliet == nil:
		return nil, err
	case err == nil && rock:
		v.form = rockRidge
	case joliet != nil && joliet.check() == nil:
		v.use(joliet, jolietNames)
	}
	return v, ctx.Err()
}

// form is where names come from.
type form int

const (
	plain form = iota
	jolietNames
	rockRidge
)

func (f form) String() string { return [...]string{"plain", "joliet", "rockridge"}[f] }

// volume is an open filesystem. It has no state but its cache.
type volume struct {
	dev    blockdev.Device
	limits ondisk.Limits
	cache  *ondisk.BlockCache[int64] // blocks of directories, by offset
	main   *descriptor               // the primary one

	form  form
	root  filesys.Node
	block int64 // bytes
	skip  int   // of system use areas, before Rock Ridge
}

var _ filesys.Volume = (*volume)(nil)

// maxDescriptors is how many are looked at; images have two to four.
const maxDescriptors = 64

func (v *volume) readDescriptors() (joliet *descriptor, err error) {
	for n := int64(firstSector); n < firstSector+maxDescriptors; n++ {
		d, err := readDescriptor(v.dev, n)
		if errors.Is(err, ondisk.ErrFormat) && n > firstSector {
			break // some writers leave the terminator out
		}
		if err != nil {
			return nil, err
		}
		switch {
		case d.Type == primary && v.main == nil:
			v.main = d
		case d.joliet() && joliet == nil:
			joliet = d
		}
		if d.Type == terminator {
			break
		}
	}
	if v.main == nil {
		return nil, ondisk.At(layer, "volume descriptor", firstSector*sector).Corrupt("none is primary")
	}
	return joliet, nil
}

// use takes the tree of a descriptor. A directory is named by its first record,
// which is itself.
func (v *volume) use(d *descriptor, f form) {
	v.cache.Clear() // blocks may have had another size
	v.form, v.block = f, int64(d.BlockSize.Value)
	v.root = filesys.Node(decodeRecord(d.Root[:]).start() * v.block)
}

func (v *volume) Ident() filesys.Ident { return v.main.ident() }

func (v *volume) Info() filesys.Info {
	return filesys.Info{Features: []string{v.form.String()}, ReadOnly: "ISO 9660 is never written in place"}
}

func (v *volume) Root(subvolume string) (filesys.FS, error) {
	if subvolume != "" {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("subvolume %q: ISO 9660 has none", subvolume)
	}
	return tree{v}, nil
}

func (v *volume) Edit(filesys.EditOptions) (filesys.Editor, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Wrap(ondisk.Because(ondisk.ErrReadOnly, "%s", v.Info().ReadOnly))
}

// FreeExtents is nothing: all of an ISO 9660 may be in use.
func (v *volume) FreeExtents(context.Context) ([]filesys.Range, error) { return nil, nil }

func (v *volume) Space() filesys.Space {
	return filesys.Space{BlockSize: v.block, Blocks: int64(v.main.Blocks.Value)}
}
