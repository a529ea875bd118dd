package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// agTree is a walk through one of the B-trees of free space of an AG: by block
// (bnobt) or by size (cntbt).
type agTree struct {
	v      *volume
	ag     uint32
	name   string
	magic4 uint32
	magic5 uint32
	visit  func(start, count uint32, at ondisk.Place) error
	left   uint32 // blocks that it may still have
}

// walk visits the records below the block agbno, in order. Levels fall, and
// no tree has more blocks than its AG.
func (t *agTree) walk(agbno uint32, level int) error {
	p, at, err := t.block(agbno, level)
	if err != nil {
		return err
	}
	header := shortHeader4
	if t.v.v5() {
		header = shortHeader5
	}
	body, count := p[header:], int(be.Uint16(p[6:]))
	if level == 0 {
		if count > len(body)/allocRecSize {
			return at.Corrupt("%d records", count)
		}
		for i := range count {
			r := body[i*allocRecSize:]
			if err := t.visit(be.Uint32(r), be.Uint32(r[4:]), at); err != nil {
				return err
			}
		}
		return nil
	}
	room := len(body) / (allocRecSize + 4)
	if count == 0 || count > room {
		return at.Corrupt("%d of %d entries", count, room)
	}
	for i := range count {
		if err := t.walk(be.Uint32(body[room*allocRecSize+i*4:]), level-1); err != nil {
			return err
		}
	}
	return nil
}

func (t *agTree) block(agbno uint32, level int) ([]byte, ondisk.Place, error) {
	at := ondisk.At(layer, t.name, ondisk.NoOffset).In("group %d", t.ag)
	if agbno >= t.v.agSize(t.ag) {
		return nil, at, at.Corrupt("block %d is outside the group", agbno)
	}
	if t.left == 0 {
		return nil, at, at.Corrupt("it has more blocks than its group")
	}
	t.left--
	fsb := t.v.fsblock(t.ag, agbno)
	at = ondisk.At(layer, t.name, t.v.byteOff(fsb)).In("group %d", t.ag)
	p, err := t.v.readBlocks(fsb, 1)
	if err != nil {
		return nil, at, err
	}
	magic := t.magic4
	if t.v.v5() {
		magic = t.magic5
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
