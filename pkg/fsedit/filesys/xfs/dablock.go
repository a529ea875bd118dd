package xfs

import (
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// daBlock is a verified block of the B-tree of names that directories and
// attributes share: a node, or a leaf of either kind.
type daBlock struct {
	raw    []byte
	magic  uint16 // as in version 4
	node   bool
	header int
	count  int
	forw   uint64 // the next on this level; 0 for none
	at     ondisk.Place
}

// daMagics maps the numbers of version 5 to those of version 4.
var daMagics = map[uint16]uint16{
	leaf1Magic5: leaf1Magic4, leafNMagic5: leafNMagic4, daNodeMagic5: daNodeMagic4, attrLeafMagic5: attrLeafMagic4,
}

// daBlock reads the block at logical, 1 << bits filesystem blocks long.
func (v *volume) daBlock(in *inode, m mapper, logical uint64, bits uint, name string) (*daBlock, error) {
	raw, off, err := v.readRun(m, logical, 1<<bits)
	if err != nil {
		return nil, err
	}
	b := &daBlock{raw: raw, header: daHeader4, at: ondisk.At(layer, name, off).In("inode %d", in.num)}
	if raw == nil {
		return nil, in.at().Corrupt("block %d of the %s is a hole", logical, name)
	}
	b.magic, b.forw = be.Uint16(raw[daMagicAt:]), uint64(be.Uint32(raw[daForwAt:]))
	if v.v5() {
		old, ok := daMagics[b.magic]
		if !ok {
			return nil, b.at.Corrupt("magic %#04x", b.magic)
		}
		b.magic, b.header = old, daHeader5
		if err := daStamp.verify(raw, v.uuid, off, in.num, b.at); err != nil {
			return nil, err
		}
	}
	return b, b.decode(v.v5())
}

// decode reads what the kind of block says about its entries.
func (b *daBlock) decode(v5 bool) error {
	countAt := b.header - 4 // then stale entries or the level
	switch b.magic {
	case daNodeMagic4:
		b.node = true
		if v5 {
			countAt = b.header - 8
		}
	case leaf1Magic4, leafNMagic4:
		if v5 {
			countAt = b.header - 8
		}
	case attrLeafMagic4:
		b.header, countAt = attrHeader4, 12
		if v5 {
			b.header, countAt = attrHeader5, 56
		}
	default:
		return b.at.Corrupt("magic %#04x", b.magic)
	}
	b.count = int(be.Uint16(b.raw[countAt:]))
	if b.count > (len(b.raw)-b.header)/daEntry {
		return b.at.Corrupt("%d entries in %d bytes", b.count, len(b.raw))
	}
	return nil
}

func (b *daBlock) entries() hashIndex { return hashIndex(b.raw[b.header:][:b.count*daEntry]) }

// below is the child of a node that may hold a hash: each entry has the largest
// hash below it.
func (b *daBlock) below(hash uint32) (uint64, bool) {
	x := b.entries()
	i := sort.Search(x.len(), func(i int) bool { return x.hash(i) >= hash })
	if i == x.len() {
		return 0, false
	}
	return uint64(x.addr(i)), true
}

// hashes is the index that a leaf of a directory is.
func (b *daBlock) hashes() (hashIndex, error) {
	if b.magic != leaf1Magic4 && b.magic != leafNMagic4 {
		return nil, b.at.Corrupt("magic %#04x", b.magic)
	}
	return b.entries(), nil
}
