package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// treeKind is what tells the B-trees of an AG apart.
type treeKind struct {
	name           string
	magic4, magic5 uint32
	record, key    int // bytes; the reverse map has two keys for each entry
}

var (
	bnobt      = &treeKind{"free space by block", bnobtMagic4, bnobtMagic5, 8, 8}
	cntbt      = &treeKind{"free space by size", cntbtMagic4, cntbtMagic5, 8, 8}
	inobt      = &treeKind{"inodes", inobtMagic4, inobtMagic5, 16, 4}
	finobt     = &treeKind{"free inodes", finobtMagic4, finobtMagic5, 16, 4}
	rmapbt     = &treeKind{"reverse map", rmapMagic5, rmapMagic5, 24, 40}
	refcountbt = &treeKind{"reference counts", refcMagic5, refcMagic5, 12, 4}
)

// room is the number of entries that a block has room for.
func (k *treeKind) room(g *geometry, level int) int {
	body := int(g.blockSize) - g.shortHeader()
	if level == 0 {
		return body / k.record
	}
	return body / (k.key + agPtrSize)
}

// shortHeader is the length of the header of a block of these trees.
func (g *geometry) shortHeader() int {
	if g.v5() {
		return shortHeader5
	}
	return shortHeader4
}

// agTree is a walk through one of the B-trees of an AG.
type agTree struct {
	v     *volume
	ag    uint32
	kind  *treeKind
	visit func(record []byte, at ondisk.Place) error
	enter func(level int, agbno uint32, count int) // each block; may be nil
	left  uint32                                   // blocks that it may still have
}

// walk visits the records below the block agbno, in order. Levels fall, and
// no tree has more blocks than its AG.
func (t *agTree) walk(agbno uint32, level int) error {
	p, at, err := t.block(agbno, level)
	if err != nil {
		return err
	}
	body, count, room := p[t.v.shortHeader():], int(be.Uint16(p[6:])), t.kind.room(&t.v.geometry, level)
	if count > room || count == 0 && level > 0 {
		return at.Corrupt("%d of %d entries", count, room)
	}
	if t.enter != nil {
		t.enter(level, agbno, count)
	}
	for i := range count {
		if level == 0 {
			err = t.visit(body[i*t.kind.record:][:t.kind.record], at)
		} else {
			err = t.walk(be.Uint32(body[room*t.kind.key+i*agPtrSize:]), level-1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *agTree) block(agbno uint32, level int) ([]byte, ondisk.Place, error) {
	at := ondisk.At(layer, t.kind.name, ondisk.NoOffset).In("group %d", t.ag)
	if agbno >= t.v.agSize(t.ag) {
		return nil, at, at.Corrupt("block %d is outside the group", agbno)
	}
	if t.left == 0 {
		return nil, at, at.Corrupt("it has more blocks than its group")
	}
	t.left--
	fsb := t.v.fsblock(t.ag, agbno)
	at = ondisk.At(layer, t.kind.name, t.v.byteOff(fsb)).In("group %d", t.ag)
	p, err := t.v.readBlocks(fsb, 1)
	if err != nil {
		return nil, at, err
	}
	magic := t.kind.magic4
	if t.v.v5() {
		magic = t.kind.magic5
	}
	if got := be.Uint32(p); got != magic {
		return nil, at, at.Corrupt("magic %#08x", got)
	}
	if got := int(be.Uint16(p[4:])); got != level {
		return nil, at, at.Corrupt("level %d instead of %d", got, level)
	}
	if t.v.v5() {
		err = shortStamp.verify(p, t.v.uuid, t.v.byteOff(fsb), uint64(t.ag), at)
	}
	return p, at, err
}
