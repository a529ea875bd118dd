package xfs

import (
	"bytes"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// The B-trees of an AG are not edited but built anew, all records at once, as
// xfs_repair(8) does.

// treeShape is the number of entries of each block of a tree: leaves first, then
// level by level up to the root.
type treeShape [][]int

func (s treeShape) blocks() int {
	n := 0
	for _, row := range s {
		n += len(row)
	}
	return n
}

// records is the number of records that a tree of this shape has.
func (s treeShape) records() int {
	n := 0
	for _, count := range s[0] {
		n += count
	}
	return n
}

// filling is how full blocks are made, in quarters. Some room saves the kernel
// splits.
type filling int

const (
	fillRoomy filling = 3
	fillTight filling = 4
)

// shape plans a tree of n records; without any it is one empty leaf.
func (k *treeKind) shape(g *geometry, n int, fill filling) treeShape {
	var out treeShape
	for {
		room := k.room(g, len(out))
		blocks := spread(n, room, max(1, room*int(fill)/4))
		out = append(out, evenly(n, blocks))
		if blocks == 1 {
			return out
		}
		n = blocks
	}
}

// blocks is how many a tree of n records has.
func (k *treeKind) blocks(g *geometry, n int, fill filling) int {
	total := 0
	for level := 0; ; level++ {
		room := k.room(g, level)
		n = spread(n, room, max(1, room*int(fill)/4))
		total += n
		if n == 1 {
			return total
		}
	}
}

// spread divides n entries evenly among blocks of at most filled entries; rather
// than have less than half of room in one, which only a root may, there are fewer
// and fuller ones.
func spread(n, room, filled int) (blocks int) {
	blocks = max(1, (n+filled-1)/filled)
	for blocks > 1 && n/blocks < room/2 {
		blocks--
	}
	return blocks
}

func evenly(n, blocks int) []int {
	out := make([]int, blocks)
	for i := range out {
		out[i] = n / blocks
		if i < n%blocks {
			out[i]++
		}
	}
	return out
}

// reshape is the shape of an old tree with n records, if that can have them.
func (k *treeKind) reshape(g *geometry, old treeShape, n int) (treeShape, bool) {
	if n == old.records() {
		return old, true
	}
	room, leaves := k.room(g, 0), len(old[0])
	if n > leaves*room || leaves > 1 && n/leaves < room/2 {
		return nil, false
	}
	out := append(treeShape{evenly(n, leaves)}, old[1:]...)
	return out, true
}

// treePlan is a tree that is to be built, or the one that is there.
type treePlan struct {
	kind    *treeKind
	shape   treeShape
	places  [][]uint32 // of the blocks, as in shape
	inPlace bool       // it keeps the blocks that it has
}

// root is the block number of the root, and the number of levels.
func (t *treePlan) root() (agbno, levels uint32) {
	top := len(t.places) - 1
	return t.places[top][0], uint32(top + 1)
}

// blocks are those of the tree, in no order that matters.
func (t *treePlan) blocks() []uint32 {
	var out []uint32
	for _, row := range t.places {
		out = append(out, row...)
	}
	return out
}

// place gives the tree its blocks, from the front of a list, and returns the rest.
func (t *treePlan) place(from []uint32) []uint32 {
	t.places = make([][]uint32, len(t.shape))
	for level, row := range t.shape {
		t.places[level], from = from[:len(row)], from[len(row):]
	}
	return from
}

// build makes the blocks of a tree of an AG and hands to put those that change.
func (t *treePlan) build(v *volume, ag uint32, records []byte, put func(agbno uint32, raw []byte)) error {
	entries, size := records, t.kind.record
	for level, row := range t.shape {
		var keys []byte
		child := 0
		for i, count := range row {
			old, raw, err := t.block(v, ag, level, i)
			if err != nil {
				return err
			}
			body, part := raw[v.shortHeader():], entries[:count*size]
			copy(body, part)
			if level == 0 {
				keys = append(keys, t.kind.leafKey(part)...)
			} else {
				pointers := body[t.kind.room(&v.geometry, level)*size:]
				for j := range count {
					be.PutUint32(pointers[j*agPtrSize:], t.places[level-1][child+j])
				}
				keys = append(keys, t.kind.nodeKey(part)...)
			}
			entries, child = entries[count*size:], child+count
			if v.v5() {
				shortStamp.seal(raw)
			}
			if !bytes.Equal(old, raw) {
				put(t.places[level][i], raw)
			}
		}
		entries, size = keys, t.kind.key
	}
	return nil
}

// block is a block with its header, and as it is now when it is in the tree already:
// then it keeps its LSN.
func (t *treePlan) block(v *volume, ag uint32, level, i int) (old, raw []byte, err error) {
	fsb := v.fsblock(ag, t.places[level][i])
	if t.inPlace {
		if old, err = v.readBlocks(fsb, 1); err != nil {
			return nil, nil, err
		}
		raw = bytes.Clone(old)
	} else {
		raw = make([]byte, v.blockSize)
	}
	be.PutUint32(raw, t.kind.magic4)
	be.PutUint16(raw[4:], uint16(level))
	be.PutUint16(raw[6:], uint16(t.shape[level][i]))
	be.PutUint32(raw[8:], t.sibling(level, i-1))
	be.PutUint32(raw[12:], t.sibling(level, i+1))
	if v.v5() {
		be.PutUint32(raw, t.kind.magic5)
		be.PutUint64(raw[shortStamp.blkno:], uint64(v.byteOff(fsb))>>daddrBits)
		copy(raw[shortStamp.uuid:], v.uuid[:])
		be.PutUint32(raw[shortStamp.owner:], ag)
	}
	return old, raw, nil
}

func (t *treePlan) sibling(level, i int) uint32 {
	if row := t.places[level]; i >= 0 && i < len(row) {
		return row[i]
	}
	return nullAGBlock
}

// leafKey is the key of a leaf with these records in the node above it.
func (k *treeKind) leafKey(records []byte) []byte {
	if len(records) == 0 {
		return nil
	}
	if k != rmapbt {
		return records[:k.key]
	}
	low, high := rmapKeys(records)
	for at := k.record; at < len(records); at += k.record {
		if _, h := rmapKeys(records[at:]); bytes.Compare(h, high) > 0 {
			high = h
		}
	}
	return append(low, high...)
}

// nodeKey is the key of a node with these keys in the one above it.
func (k *treeKind) nodeKey(keys []byte) []byte {
	if k != rmapbt {
		return keys[:k.key]
	}
	half := k.key / 2
	high := keys[half:k.key]
	for at := k.key; at < len(keys); at += k.key {
		if h := keys[at+half : at+k.key]; bytes.Compare(h, high) > 0 {
			high = h
		}
	}
	return append(bytes.Clone(keys[:half]), high...)
}

// readTree walks a tree: its records go to visit.
func (v *volume) readTree(ag uint32, kind *treeKind, root, levels uint32, at ondisk.Place, visit func(record []byte, at ondisk.Place) error) (*treePlan, error) {
	if levels == 0 || levels > btreeMaxLevels {
		return nil, at.In("group %d, %s", ag, kind.name).Corrupt("a tree of %d levels", levels)
	}
	t := &treePlan{kind: kind, shape: make(treeShape, levels), places: make([][]uint32, levels)}
	walk := agTree{v: v, ag: ag, kind: kind, left: v.agSize(ag), visit: visit}
	walk.enter = func(level int, agbno uint32, count int) {
		t.shape[level] = append(t.shape[level], count)
		t.places[level] = append(t.places[level], agbno)
	}
	return t, walk.walk(root, int(levels)-1)
}
