package xfs

import (
	"sort"
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// bmapTree is the map of a fork with many extents: a B-tree with its root in
// the inode.
type bmapTree struct {
	v    *volume
	fork fork
	last atomic.Pointer[extentList] // the leaf that was found last
}

// bmapNode is one inner node: keys and the blocks below them.
type bmapNode struct {
	keys, ptrs []byte
	level      int
	lo, hi     uint64
	at         ondisk.Place
}

func (n *bmapNode) len() int         { return len(n.keys) / bmbtKeySize }
func (n *bmapNode) key(i int) uint64 { return be.Uint64(n.keys[i*bmbtKeySize:]) }
func (n *bmapNode) ptr(i int) uint64 { return be.Uint64(n.ptrs[i*bmbtPtrSize:]) }

// bounds is the range of blocks below entry i.
func (n *bmapNode) bounds(i int) (lo, hi uint64) {
	lo, hi = n.key(i), n.hi
	if i+1 < n.len() {
		hi = n.key(i + 1)
	}
	return lo, hi
}

func (n *bmapNode) verify() error {
	next := n.lo
	for i := range n.len() {
		if n.key(i) < next || n.key(i) >= n.hi {
			return n.at.Corrupt("key %d: block %d is out of order", i, n.key(i))
		}
		next = n.key(i) + 1
	}
	return nil
}

func (t *bmapTree) find(logical uint64) (run, error) {
	if l := t.last.Load(); l != nil && logical >= l.lo && logical < l.hi {
		return l.find(logical)
	}
	if logical >= maxLogical {
		return run{}, t.fork.at().Corrupt("block %d is beyond the largest file", logical)
	}
	n, err := t.root()
	for err == nil {
		i := sort.Search(n.len(), func(i int) bool { return n.key(i) > logical })
		if i == 0 {
			return run{logical: n.lo, count: n.key(0) - n.lo, kind: runHole}, nil
		}
		var leaf *extentList
		if n, leaf, err = t.child(n, i-1); leaf != nil {
			t.last.Store(leaf)
			return leaf.find(logical)
		}
	}
	return run{}, err
}

// root decodes the root in the inode (bmdr): level, count, then room for as
// many keys as pointers.
func (t *bmapTree) root() (*bmapNode, error) {
	at := t.fork.at()
	p := t.fork.raw
	if len(p) < 4 {
		return nil, at.Corrupt("no room for a map")
	}
	level, count, room := int(be.Uint16(p)), int(be.Uint16(p[2:])), bmdrRoom(len(p))
	if level < 1 || level >= btreeMaxLevels || count == 0 || count > room {
		return nil, at.Corrupt("a root of level %d with %d of %d entries", level, count, room)
	}
	n := &bmapNode{level: level, hi: maxLogical, at: at,
		keys: p[4:][:count*bmbtKeySize], ptrs: p[4+room*bmbtKeySize:][:count*bmbtPtrSize]}
	return n, n.verify()
}

// bmdrRoom is how many entries a root in a fork of n bytes has room for.
func bmdrRoom(n int) int { return (n - 4) / (bmbtKeySize + bmbtPtrSize) }

// child reads what entry i of n points to: a node, or a leaf.
func (t *bmapTree) child(n *bmapNode, i int) (*bmapNode, *extentList, error) {
	fsb := n.ptr(i)
	if !t.v.extentOK(fsb, 1) {
		return nil, nil, n.at.Corrupt("entry %d: block %#x is outside the filesystem", i, fsb)
	}
	p, err := t.v.readBlocks(fsb, 1)
	if err != nil {
		return nil, nil, err
	}
	at := ondisk.At(layer, "extent map block", t.v.byteOff(fsb)).In("inode %d", t.fork.in.num)
	header, err := t.v.verifyBmapBlock(p, fsb, t.fork.in.num, n.level-1, at)
	if err != nil {
		return nil, nil, err
	}
	lo, hi := n.bounds(i)
	count, body := int(be.Uint16(p[6:])), p[header:]
	room := len(body) / bmbtRecSize
	if count == 0 || count > room {
		return nil, nil, at.Corrupt("%d of %d entries", count, room)
	}
	if n.level == 1 {
		l := &extentList{raw: body[:count*bmbtRecSize], lo: lo, hi: hi}
		return nil, l, l.verify(t.v, at)
	}
	c := &bmapNode{level: n.level - 1, lo: lo, hi: hi, at: at,
		keys: body[:count*bmbtKeySize], ptrs: body[room*bmbtKeySize:][:count*bmbtPtrSize]}
	return c, nil, c.verify()
}

// verifyBmapBlock checks the header of a block of a map, and returns its length.
func (v *volume) verifyBmapBlock(p []byte, fsb, ino uint64, level int, at ondisk.Place) (header int, err error) {
	magic, header := uint32(bmbtMagic4), longHeader4
	if v.v5() {
		magic, header = bmbtMagic5, longHeader5
	}
	if got := be.Uint32(p); got != magic {
		return 0, at.Corrupt("magic %#08x", got)
	}
	if got := int(be.Uint16(p[4:])); got != level {
		return 0, at.Corrupt("level %d below level %d", got, level+1)
	}
	if v.v5() {
		err = longStamp.verify(p, v.uuid, v.byteOff(fsb), ino, at)
	}
	return header, err
}
