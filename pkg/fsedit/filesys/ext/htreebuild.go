package ext

import (
	"cmp"
	"slices"
)

// hashedEntry is a name with its hash.
type hashedEntry struct {
	leafEntry
	major, minor uint32
}

// dxEntry is one entry of an index node: names from hash on are in block. The
// lowest bit of hash says that the block before ends with the same hash.
type dxEntry struct{ hash, block uint32 }

// htreePlan is the shape of an indexed directory: the entries of its leaves,
// which become the blocks from 1 on, and the index above them.
type htreePlan struct {
	leaves [][]leafEntry
	index  []dxEntry // one for each leaf; the first hash is 0
	nodes  int       // index nodes below the root, the blocks after the leaves
	levels int       // of the index below the root
}

// blocks is the size of the directory.
func (p *htreePlan) blocks() int { return 1 + len(p.leaves) + p.nodes }

// htreeShape are the sizes of an indexed directory's blocks.
type htreeShape struct {
	leafRoom  int // bytes for entries in a leaf
	rootLimit int // entries in the root
	nodeLimit int // entries in another node
	maxLevels int // index levels below the root
}

// planHtree spreads entries over leaves in the order of their hashes. Leaves
// and nodes stay a quarter empty, so that later insertions find room. ok is
// false when the index cannot hold them.
func planHtree(entries []hashedEntry, shape htreeShape) (p *htreePlan, ok bool) {
	slices.SortFunc(entries, func(a, b hashedEntry) int {
		if a.major != b.major {
			return cmp.Compare(a.major, b.major)
		}
		return cmp.Compare(a.minor, b.minor)
	})
	p = &htreePlan{}
	room := 0
	for i, e := range entries {
		n := direntSize(len(e.name))
		if i == 0 || n > room {
			hash := e.major
			switch {
			case i == 0:
				hash = 0
			case entries[i-1].major == e.major:
				hash |= 1
			}
			p.leaves, p.index = append(p.leaves, nil), append(p.index, dxEntry{hash, uint32(len(p.leaves) + 1)})
			room = max(shape.leafRoom*3/4, n)
		}
		last := len(p.leaves) - 1
		p.leaves[last] = append(p.leaves[last], e.leafEntry)
		room -= n
	}
	if len(entries) == 0 {
		p.leaves, p.index = [][]leafEntry{nil}, []dxEntry{{0, 1}}
	}
	return p, p.countNodes(shape)
}

// perNode is how many entries a new index node gets.
func (s htreeShape) perNode() int { return max(2, s.nodeLimit*3/4) }

func (p *htreePlan) countNodes(shape htreeShape) bool {
	for n := len(p.index); n > shape.rootLimit; p.levels++ {
		if p.levels == shape.maxLevels {
			return false
		}
		n = (n + shape.perNode() - 1) / shape.perNode()
		p.nodes += n
	}
	return p.levels <= shape.maxLevels
}

// dxNode is an index node below the root: its block in the directory and what
// it holds.
type dxNode struct {
	block   uint32
	entries []dxEntry
}

// nodesAbove groups the index into nodes and returns the root's entries.
func (p *htreePlan) nodesAbove(shape htreeShape) (root []dxEntry, nodes []dxNode) {
	level, next := p.index, uint32(1+len(p.leaves))
	for range p.levels {
		var up []dxEntry
		for part := range slices.Chunk(level, shape.perNode()) {
			nodes = append(nodes, dxNode{next, part})
			up = append(up, dxEntry{part[0].hash, next})
			next++
		}
		level = up
	}
	return level, nodes
}
