package lvm

import (
	"math"
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// thinTrees reads the trees of a thin pool's metadata; safe for concurrent use.
type thinTrees struct {
	dev   blockdev.Device
	cache *ondisk.BlockCache[uint64]
	super thinSuper
}

// openThin verifies the superblock.
func openThin(dev blockdev.Device, limits ondisk.Limits) (*thinTrees, error) {
	t := &thinTrees{dev: dev, cache: ondisk.NewBlockCache[uint64](limits.Cache)}
	place := ondisk.At("lvm", "thin superblock", 0)
	p, err := ondisk.Bytes(dev, 0, thinBlock)
	if err != nil {
		return nil, place.Wrap(err)
	}
	t.super, err = ondisk.Read[thinSuper](blockdev.FromBytes(p), 0, le)
	if err != nil {
		return nil, place.Wrap(err)
	}
	s := t.super
	switch got := thinCRC(p, superSalt); {
	case s.Magic != thinMagic:
		return nil, place.In("magic").Corrupt("%d", s.Magic)
	case got != s.CRC:
		return nil, place.In("checksum").Corrupt("%#x, the bytes give %#x", s.CRC, got)
	case s.Block != 0:
		return nil, place.In("own block").Corrupt("%d", s.Block)
	case s.Version < 1 || s.Version > 2:
		return nil, place.In("version").Unsupported("%d", s.Version)
	case s.Flags&thinNeedsCheck != 0:
		return nil, place.In("flags").Corrupt("the pool has been found damaged and needs thin_check")
	case s.MetadataBlock != thinBlock/sector:
		return nil, place.In("size of a metadata block").Unsupported("%d sectors", s.MetadataBlock)
	case s.DataBlock == 0:
		return nil, place.In("size of a data block").Corrupt("0")
	}
	return t, nil
}

// node is a verified node.
type node struct {
	thinNode
	bytes []byte
}

func (n node) key(i int) uint64 { return le.Uint64(n.bytes[nodeHeadLen+8*i:]) }
func (n node) value(i int) uint64 {
	return le.Uint64(n.bytes[nodeHeadLen+8*int(n.MaxEntries)+8*i:])
}

// node reads a node with values of 8 bytes.
func (t *thinTrees) node(block uint64) (node, error) {
	place := ondisk.At("lvm", "thin node", int64(min(block, math.MaxInt64/thinBlock)*thinBlock))
	if block == 0 || block >= uint64(t.dev.Size()/thinBlock) {
		return node{}, place.Corrupt("beyond the metadata of %d bytes", t.dev.Size())
	}
	if p := t.cache.Get(block); p != nil {
		return node{decodeNode(p), p}, nil
	}
	p, err := ondisk.Bytes(t.dev, int64(block)*thinBlock, thinBlock)
	if err != nil {
		return node{}, place.Wrap(err)
	}
	n := node{decodeNode(p), p}
	if got := thinCRC(p, nodeSalt); got != n.CRC {
		return n, place.In("checksum").Corrupt("%#x, the bytes give %#x", n.CRC, got)
	}
	if n.Block != block {
		return n, place.In("own block").Corrupt("%d", n.Block)
	}
	if n.Flags != nodeInternal && n.Flags != nodeLeaf {
		return n, place.In("flags").Corrupt("%#x", n.Flags)
	}
	if n.ValueSize != 8 || n.MaxEntries > (thinBlock-nodeHeadLen)/16 || n.Entries > n.MaxEntries {
		return n, place.Corrupt("%d of %d entries of %d bytes", n.Entries, n.MaxEntries, n.ValueSize)
	}
	n.bytes = t.cache.Put(block, p)
	return n, nil
}

// run is what a tree says about a key: the value of it, and for how many keys from
// it on the tree has values that go up with them, or none.
type run struct {
	value uint64
	found bool
	n     uint64
}

// find looks a key up. step is how much the values of neighbours differ.
func (t *thinTrees) find(root, key, step uint64) (run, error) {
	end := uint64(math.MaxUint64) // the first key that belongs to the next subtree
	for range maxThinDepth {
		n, err := t.node(root)
		if err != nil {
			return run{}, err
		}
		entries := int(n.Entries)
		at := sort.Search(entries, func(i int) bool { return n.key(i) > key }) // behind the one that may hold it
		if at < entries {
			end = min(end, n.key(at))
		}
		if n.Flags == nodeLeaf {
			return n.run(at, key, step, end), nil
		}
		if at == 0 {
			return run{n: end - key}, nil
		}
		root = n.value(at - 1)
	}
	return run{}, ondisk.At("lvm", "thin tree", ondisk.NoOffset).Corrupt("more than %d deep", maxThinDepth)
}

// run is what a leaf says, at being the entry behind the key.
func (n node) run(at int, key, step, end uint64) run {
	if at == 0 || n.key(at-1) != key {
		return run{n: max(end-key, 1)}
	}
	r := run{value: n.value(at - 1), found: true, n: 1}
	for ; at < int(n.Entries) && n.key(at) == key+r.n && n.value(at)>>timeBits == (r.value>>timeBits)+r.n*step; at++ {
		r.n++
	}
	return r
}

// timeBits are the low bits of a mapping: when it was made; the data block is above.
const timeBits = 24
