package vhdx

import (
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// metadata is what the items of the metadata region say ([MS-VHDX] 2.6).
type metadata struct {
	geometry
	fixed             bool // blocks stay allocated
	logical, physical int  // bytes of a sector
	locator           locator
}

// readMetadata reads all items that are known and checks them.
func readMetadata(dev blockdev.Device, r region, limits ondisk.Limits) (*metadata, error) {
	items, err := readItems(dev, r)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "metadata", r.off)
	for _, want := range []struct {
		id guid
		n  int
	}{{itemParameters, 8}, {itemSize, 8}, {itemLogical, 4}, {itemPhysical, 4}} {
		if n := len(items[want.id]); n != want.n {
			return nil, at.In("item %v", want.id).Corrupt("%d bytes, want %d", n, want.n)
		}
	}
	flags := le.Uint32(items[itemParameters][4:])
	size := le.Uint64(items[itemSize])
	m := &metadata{
		geometry: geometry{block: int64(le.Uint32(items[itemParameters])), diff: flags&hasParent != 0},
		fixed:    flags&leaveAllocated != 0,
		logical:  int(le.Uint32(items[itemLogical])),
		physical: int(le.Uint32(items[itemPhysical])),
	}
	switch {
	case m.block < minBlockSize || m.block > maxBlockSize || bits.OnesCount64(uint64(m.block)) != 1:
		return nil, at.In("block size").Corrupt("%d is not a power of two from 1 MiB to 256 MiB", m.block)
	case m.logical != 512 && m.logical != 4096 || m.physical != 512 && m.physical != 4096:
		return nil, at.In("sector sizes").Corrupt("%d and %d are not 512 or 4096", m.logical, m.physical)
	case size > maxVirtualSize || size%uint64(m.logical) != 0:
		return nil, at.In("virtual disk size").Corrupt("%d is not whole sectors up to 64 TiB", size)
	case int64(size) > limits.VirtualSize:
		return nil, at.In("virtual disk size").TooBig("%d bytes", size)
	}
	m.size, m.sector = int64(size), int64(m.logical)
	if m.diff {
		m.locator, err = parseLocator(items[itemParent])
	}
	return m, at.In("parent locator").Wrap(err)
}

// readItems reads the items that are known, by their ids.
func readItems(dev blockdev.Device, r region) (map[guid][]byte, error) {
	at := ondisk.At(layer, "metadata table", r.off)
	raw, err := ondisk.Bytes(dev, r.off, metadataItems)
	if err != nil {
		return nil, at.Wrap(err)
	}
	t := decode[diskMetadataTable](raw)
	if t.Magic != metadataMagic || t.Count > maxTableEntries {
		return nil, at.Corrupt("it has no signature or %d entries", t.Count)
	}
	items := map[guid][]byte{}
	for i := range int(t.Count) {
		e := decode[diskItem](raw[32+i*32:])
		switch e.ID {
		case itemParameters, itemSize, itemPage83, itemLogical, itemPhysical, itemParent:
		default:
			if e.Flags&itemRequired != 0 {
				return nil, at.In("entry %d", i).Unsupported("the item %v is required and not known", e.ID)
			}
			continue
		}
		if items[e.ID] != nil {
			return nil, at.In("entry %d", i).Corrupt("a second item %v", e.ID)
		}
		if e.Offset < metadataItems || e.Length > maxItemSize || !ondisk.InRange(int64(e.Offset), int64(e.Length), r.n) {
			return nil, at.In("entry %d", i).Corrupt("%d bytes at %#x do not lie in the region", e.Length, e.Offset)
		}
		if items[e.ID], err = ondisk.Bytes(dev, r.off+int64(e.Offset), int64(e.Length)); err != nil {
			return nil, at.In("entry %d", i).Wrap(err)
		}
	}
	return items, nil
}
