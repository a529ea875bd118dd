package ext

// piece maps len blocks of a file from lblk on to the device from pblk on.
type piece struct {
	lblk, len uint32
	pblk      uint64
}

// coalesce joins pieces that are neighbours in the file and on the device.
func coalesce(ps []piece) []piece {
	var out []piece
	for _, p := range ps {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.lblk+last.len == p.lblk && last.pblk+uint64(last.len) == p.pblk && last.len+p.len <= extentMaxLen {
				last.len += p.len
				continue
			}
		}
		out = append(out, p)
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
func buildExtents(ps []piece, blockSize int, places []uint64) (root [inodeBlockLen]byte, nodes []treeNode) {
	entries := make([][extentEntrySize]byte, len(ps))
	firsts := make([]uint32, len(ps))
	for i, p := range ps {
		firsts[i] = p.lblk
		e := entries[i][:]
		le.PutUint32(e[0:], p.lblk)
		le.PutUint16(e[4:], uint16(p.len))
		le.PutUint16(e[6:], uint16(p.pblk>>32))
		le.PutUint32(e[8:], uint32(p.pblk))
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
