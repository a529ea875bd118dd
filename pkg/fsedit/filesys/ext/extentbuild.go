package ext

// coalesce joins runs that are neighbours in the file and on the device, and
// cuts what is longer than an extent.
func coalesce(rs []run) []run {
	var out []run
	for _, r := range rs {
		if n := len(out); n > 0 && r.kind == out[n-1].kind {
			if last := &out[n-1]; last.end() == r.logical && last.phys+last.count == r.phys {
				last.count += r.count
				continue
			}
		}
		out = append(out, r)
	}
	return cutRuns(out)
}

func cutRuns(rs []run) []run {
	var out []run
	for _, r := range rs {
		limit := uint64(extentMaxLen)
		if r.kind == runUnwritten {
			limit--
		}
		for r.count > limit {
			out = append(out, run{logical: r.logical, phys: r.phys, count: limit, kind: r.kind})
			r.logical, r.phys, r.count = r.logical+limit, r.phys+limit, r.count-limit
		}
		out = append(out, r)
	}
	return out
}

const rootEntries = (inodeBlockLen - extentHeaderSize) / extentEntrySize

// extentsPerBlock is how many entries a node of the extent tree holds. The
// checksum always fits behind them: no block size is a multiple of 12.
func extentsPerBlock(blockSize int) int { return (blockSize - extentHeaderSize) / extentEntrySize }

// extentTreeBlocks is how many blocks a tree of n extents needs beside its root.
func extentTreeBlocks(n, blockSize int) int {
	total := 0
	for per := extentsPerBlock(blockSize); n > rootEntries; total += n {
		n = (n + per - 1) / per
	}
	return total
}

// treeNode is a block of an extent or indirect tree and its place.
type treeNode struct {
	at   uint64
	data []byte
}

// buildExtents lays out a tree of full leaves and the least depth. places are
// the blocks for its nodes, as many as [extentTreeBlocks] says. root fills the
// 60 bytes of the inode. Checksums are left to the caller.
func buildExtents(rs []run, blockSize int, places []uint64) (root [inodeBlockLen]byte, nodes []treeNode) {
	entries := make([][extentEntrySize]byte, len(rs))
	firsts := make([]uint32, len(rs))
	for i, r := range rs {
		firsts[i] = uint32(r.logical)
		entries[i] = leafEntryOf(r)
	}
	depth := uint16(0)
	for per := extentsPerBlock(blockSize); len(entries) > rootEntries; depth++ {
		var up [][extentEntrySize]byte
		var upFirsts []uint32
		for i := 0; i < len(entries); i += per {
			node := treeNode{at: places[len(nodes)], data: make([]byte, blockSize)}
			fillExtentNode(node.data, entries[i:min(i+per, len(entries))], per, depth)
			nodes = append(nodes, node)
			up = append(up, indexEntry(firsts[i], node.at))
			upFirsts = append(upFirsts, firsts[i])
		}
		entries, firsts = up, upFirsts
	}
	fillExtentNode(root[:], entries, rootEntries, depth)
	return root, nodes
}

func leafEntryOf(r run) (e [extentEntrySize]byte) {
	n := uint16(r.count)
	if r.kind == runUnwritten {
		n += extentMaxLen
	}
	le.PutUint32(e[0:], uint32(r.logical))
	le.PutUint16(e[4:], n)
	le.PutUint16(e[6:], uint16(r.phys>>32))
	le.PutUint32(e[8:], uint32(r.phys))
	return e
}

func indexEntry(lblk uint32, at uint64) (e [extentEntrySize]byte) {
	le.PutUint32(e[0:], lblk)
	le.PutUint32(e[4:], uint32(at))
	le.PutUint16(e[8:], uint16(at>>32))
	return e
}

func fillExtentNode(dst []byte, entries [][extentEntrySize]byte, limit int, depth uint16) {
	le.PutUint16(dst[0:], extentMagic)
	le.PutUint16(dst[2:], uint16(len(entries)))
	le.PutUint16(dst[4:], uint16(limit))
	le.PutUint16(dst[6:], depth)
	for i, e := range entries {
		copy(dst[extentHeaderSize+i*extentEntrySize:], e[:])
	}
}
