package ext

// The block map of files without extents: twelve direct pointers in the inode,
// then a block of pointers, a block of such blocks, and one level more.
const directBlocks = 12

// indirectLimit is the number of blocks that a block map reaches.
func indirectLimit(blockSize int) uint64 {
	per := uint64(blockSize / 4)
	return directBlocks + per + per*per + per*per*per
}

// indirectTree builds a block map. It asks for the place of a node when it
// first needs it.
type indirectTree struct {
	blockSize int
	place     func() uint64
	root      [inodeBlockLen]byte
	nodes     []treeNode
	open      [indirectLevels + 1]openNode // by height above the data
}

// openNode is the node of one height that is being filled.
type openNode struct {
	index int    // in nodes
	first uint64 // the first file block below it
	valid bool
}

// add maps one block. Blocks come in ascending order.
func (t *indirectTree) add(lblk uint64, pblk uint32) {
	if lblk < directBlocks {
		le.PutUint32(t.root[lblk*4:], pblk)
		return
	}
	per := uint64(t.blockSize / 4)
	start, reach, height := uint64(directBlocks), per, 1
	for lblk-start >= reach {
		start, reach, height = start+reach, reach*per, height+1
	}
	slot := t.root[(directBlocks+height-1)*4:]
	first := start
	for ; height >= 1; height-- {
		node := t.node(height, first, slot)
		reach /= per
		i := (lblk - first) / reach
		slot, first = node[i*4:], first+i*reach
	}
	le.PutUint32(slot, pblk)
}

// node is the pointer block of a height that begins at file block first; a new
// one is hung into slot.
func (t *indirectTree) node(height int, first uint64, slot []byte) []byte {
	o := &t.open[height]
	if !o.valid || o.first != first {
		*o = openNode{index: len(t.nodes), first: first, valid: true}
		t.nodes = append(t.nodes, treeNode{at: t.place(), data: make([]byte, t.blockSize)})
		le.PutUint32(slot, uint32(t.nodes[o.index].at))
	}
	return t.nodes[o.index].data
}

// buildIndirect lays out the block map of rs, which lie below the limit and
// below 2^32 on the device.
func buildIndirect(rs []run, blockSize int, place func() uint64) (root [inodeBlockLen]byte, nodes []treeNode) {
	t := &indirectTree{blockSize: blockSize, place: place}
	for _, r := range rs {
		for i := range r.count {
			t.add(r.logical+i, uint32(r.phys+i))
		}
	}
	return t.root, t.nodes
}

// indirectTreeBlocks is how many pointer blocks the map of rs needs.
func indirectTreeBlocks(rs []run, blockSize int) (n int) {
	buildIndirect(rs, blockSize, func() uint64 { n++; return 0 })
	return n
}
