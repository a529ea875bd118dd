package ext

import (
	"sort"
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// extentTree is the map of a file with extents: nodes sorted by logical block,
// the root in i_block, at most five levels below it.
type extentTree struct {
	v    *volume
	in   *inode
	last atomic.Pointer[extentNode] // the leaf that was found last
}

// extentNode is one verified node. lo and hi bound the logical blocks that its
// place in the tree allows it.
type extentNode struct {
	raw     []byte
	entries int
	depth   int
	lo, hi  uint64
	at      ondisk.Place
}

func decodeExtentHeader(p []byte) extentHeader {
	return extentHeader{
		Magic:      le.Uint16(p[0x0:]),
		Entries:    le.Uint16(p[0x2:]),
		Max:        le.Uint16(p[0x4:]),
		Depth:      le.Uint16(p[0x6:]),
		Generation: le.Uint32(p[0x8:]),
	}
}

func decodeExtentLeaf(p []byte) extentLeaf {
	return extentLeaf{
		Block:   le.Uint32(p[0x0:]),
		Len:     le.Uint16(p[0x4:]),
		StartHi: le.Uint16(p[0x6:]),
		StartLo: le.Uint32(p[0x8:]),
	}
}

func decodeExtentIndex(p []byte) extentIndex {
	return extentIndex{
		Block:  le.Uint32(p[0x0:]),
		LeafLo: le.Uint32(p[0x4:]),
		LeafHi: le.Uint16(p[0x8:]),
	}
}

func (x extentLeaf) start() uint64 { return uint64(x.StartLo) | uint64(x.StartHi)<<32 }
func (x extentIndex) leaf() uint64 { return uint64(x.LeafLo) | uint64(x.LeafHi)<<32 }

// run is the meaning of a leaf entry.
func (x extentLeaf) run() run {
	r := run{logical: uint64(x.Block), phys: x.start(), count: uint64(x.Len)}
	if x.Len > extentMaxLen {
		r.count, r.kind = uint64(x.Len)-extentMaxLen, runUnwritten
	}
	return r
}

func (n *extentNode) entry(i int) []byte {
	return n.raw[extentHeaderSize+i*extentEntrySize:][:extentEntrySize]
}

func (n *extentNode) leaf(i int) run          { return decodeExtentLeaf(n.entry(i)).run() }
func (n *extentNode) index(i int) extentIndex { return decodeExtentIndex(n.entry(i)) }
func (n *extentNode) key(i int) uint64        { return uint64(le.Uint32(n.entry(i))) }

// upTo is the number of entries whose first block is at or before logical.
func (n *extentNode) upTo(logical uint64) int {
	return sort.Search(n.entries, func(i int) bool { return n.key(i) > logical })
}

func (t *extentTree) find(logical uint64) (run, error) {
	if n := t.last.Load(); n != nil && logical >= n.lo && logical < n.hi {
		return n.find(logical), nil
	}
	n, err := t.root()
	for err == nil && n.depth > 0 {
		i := n.upTo(logical)
		if i == 0 {
			return run{logical: n.lo, count: n.firstKey() - n.lo, kind: runHole}, nil
		}
		n, err = t.child(n, i-1)
	}
	if err != nil {
		return run{}, err
	}
	t.last.Store(n)
	return n.find(logical), nil
}

// firstKey is where the entries of a node begin; its end when it has none.
func (n *extentNode) firstKey() uint64 {
	if n.entries == 0 {
		return n.hi
	}
	return n.key(0)
}

// find looks up a block in a leaf that covers it.
func (n *extentNode) find(logical uint64) run {
	i := n.upTo(logical)
	hole := run{logical: n.lo, kind: runHole}
	if i > 0 {
		r := n.leaf(i - 1)
		if logical < r.end() {
			return r
		}
		hole.logical = r.end()
	}
	end := n.hi
	if i < n.entries {
		end = n.key(i)
	}
	hole.count = end - hole.logical
	return hole
}

func (t *extentTree) root() (*extentNode, error) {
	n := &extentNode{raw: t.in.raw[inBlock:][:inodeBlockLen], hi: maxLogical, at: t.in.at().In("extents of inode %d", t.in.num)}
	return n, n.verify(t.v, extentMaxDepth)
}

// child reads the node that entry i of n names.
func (t *extentTree) child(n *extentNode, i int) (*extentNode, error) {
	x := n.index(i)
	nr := x.leaf()
	if !t.v.inVolume(nr, 1) {
		return nil, n.at.Corrupt("entry %d: block %d is outside the filesystem", i, nr)
	}
	raw, err := t.v.readBlock(nr)
	if err != nil {
		return nil, err
	}
	c := &extentNode{raw: raw, lo: uint64(x.Block), hi: n.hi}
	c.at = ondisk.At(layer, "extent block", t.v.byteOff(nr)).In("inode %d", t.in.num)
	if i+1 < n.entries {
		c.hi = n.key(i + 1)
	}
	if err := t.verifySum(c); err != nil {
		return nil, err
	}
	if err := c.verify(t.v, n.depth-1); err != nil {
		return nil, err
	}
	if c.depth != n.depth-1 {
		return nil, c.at.Corrupt("depth %d below depth %d", c.depth, n.depth)
	}
	return c, nil
}

func (t *extentTree) verifySum(n *extentNode) error {
	if !t.v.checksums() {
		return nil
	}
	tail := extentTail(n.raw)
	if tail+4 > len(n.raw) {
		return n.at.Corrupt("room for %d entries in a block of %d bytes", le.Uint16(n.raw[4:]), len(n.raw))
	}
	want := le.Uint32(n.raw[tail:])
	if sum := extentBlockSum(t.in.iseed(t.v), n.raw); sum != want {
		return n.at.Corrupt("checksum %#08x, computed %#08x", want, sum)
	}
	return nil
}

// verify checks a node against its header, its bounds and the volume.
func (n *extentNode) verify(v *volume, maxDepth int) error {
	h := decodeExtentHeader(n.raw)
	room := (len(n.raw) - extentHeaderSize) / extentEntrySize
	switch {
	case h.Magic != extentMagic:
		return n.at.Corrupt("magic %#04x", h.Magic)
	case int(h.Max) > room || h.Entries > h.Max:
		return n.at.Corrupt("%d of %d entries in %d bytes", h.Entries, h.Max, len(n.raw))
	case int(h.Depth) > maxDepth:
		return n.at.Corrupt("depth %d, at most %d here", h.Depth, maxDepth)
	}
	n.entries, n.depth = int(h.Entries), int(h.Depth)
	if n.depth > 0 {
		return n.verifyIndex()
	}
	return n.verifyLeaf(v)
}

func (n *extentNode) verifyIndex() error {
	next := n.lo
	for i := range n.entries {
		key := n.key(i)
		if key < next || key >= n.hi {
			return n.at.Corrupt("entry %d: block %d is out of order", i, key)
		}
		next = key + 1
	}
	return nil
}

func (n *extentNode) verifyLeaf(v *volume) error {
	next := n.lo
	for i := range n.entries {
		r := n.leaf(i)
		if r.logical < next || r.count == 0 || r.end() > n.hi {
			return n.at.Corrupt("entry %d: blocks %d+%d are out of order", i, r.logical, r.count)
		}
		if !v.inVolume(r.phys, r.count) {
			return n.at.Corrupt("entry %d: blocks %d+%d are outside the filesystem", i, r.phys, r.count)
		}
		next = r.end()
	}
	return nil
}

func (t *extentTree) visit(f func(run) error, meta func(uint64) error) error {
	n, err := t.root()
	if err != nil {
		return err
	}
	return t.visitNode(n, f, t.v.bounded(t.in, meta))
}

func (t *extentTree) visitNode(n *extentNode, f func(run) error, meta func(uint64) error) error {
	for i := range n.entries {
		if n.depth == 0 {
			if err := f(n.leaf(i)); err != nil {
				return err
			}
			continue
		}
		if err := meta(n.index(i).leaf()); err != nil {
			return err
		}
		c, err := t.child(n, i)
		if err != nil {
			return err
		}
		if err := t.visitNode(c, f, meta); err != nil {
			return err
		}
	}
	return nil
}
