package xfs

import (
	"cmp"
	"slices"
)

// A directory is built in the smallest form that holds it: in the inode, in one
// block with its index, with one block of index, or with a tree. Entries follow each
// other without holes; boot loaders have had trouble with these.

// indexEntry is a name's hash, and its place in units of 8 bytes.
type indexEntry struct{ hash, addr uint32 }

// dirImage is a directory as blocks, which do not know yet where they lie.
type dirImage struct {
	g     *geometry
	data  [][]byte
	index []indexEntry
	rooms []uint16 // the largest unused room of each block
	used  int      // bytes of the last block
}

// shortSize is how long a directory is in its inode. One that would not fit a
// single block is never there.
func (g *geometry) shortSize(d *directory) int {
	const least = 3 + 1 + 4 // bytes that a name takes
	blocks := g.dataHeader() + g.entrySize(1) + g.entrySize(2) + d.bytes
	if d.live > 255 || d.live*least > g.inodeSize || blocks+(d.live+2)*dirLeafEntry+dirBlockTail > g.dirBlockSize() {
		return g.inodeSize
	}
	n, each := 2+4, 3+4
	if d.wide() {
		n, each = 2+8, 3+8
	}
	if g.fileTypes() {
		each++
	}
	for x := range d.each {
		n += len(x.name) + each
	}
	return n
}

// wide reports whether inode numbers need 8 bytes.
func (d *directory) wide() bool {
	wide := d.parent > 1<<32-1
	for x := range d.each {
		wide = wide || x.ino > 1<<32-1
	}
	return wide
}

// buildShort is a directory in its inode.
func (g *geometry) buildShort(d *directory) []byte {
	wide := d.wide()
	put := func(p []byte, ino uint64) []byte {
		if wide {
			return be.AppendUint64(p, ino)
		}
		return be.AppendUint32(p, uint32(ino))
	}
	p := put([]byte{byte(d.live), 0}, d.parent)
	if wide && d.parent > 1<<32-1 {
		p[1]++
	}
	off := g.dataHeader() + g.entrySize(1) + g.entrySize(2)
	for x := range d.each {
		p = append(p, byte(len(x.name)), byte(off>>8), byte(off))
		p = append(p, x.name...)
		if g.fileTypes() {
			p = append(p, x.kind)
		}
		p = put(p, x.ino)
		if x.ino > 1<<32-1 {
			p[1]++
		}
		off += g.entrySize(len(x.name))
	}
	return p
}

// shortParent is the parent that a directory in its inode names.
func (v *volume) shortParent(in *inode) uint64 {
	p := v.dataFork(in).raw
	if p[1] != 0 {
		return be.Uint64(p[2:])
	}
	return uint64(be.Uint32(p[2:]))
}

// buildData lays out the entries, and sorts the index.
func (g *geometry) buildData(d *directory) *dirImage {
	b := &dirImage{g: g}
	b.add(dirName{".", d.num, 2})
	b.add(dirName{"..", d.parent, 2})
	for x := range d.each {
		b.add(x)
	}
	slices.SortFunc(b.index, func(x, y indexEntry) int {
		return cmp.Or(cmp.Compare(x.hash, y.hash), cmp.Compare(x.addr, y.addr))
	})
	return b
}

// add appends an entry.
func (b *dirImage) add(x dirName) {
	n, size := b.g.entrySize(len(x.name)), b.g.dirBlockSize()
	if len(b.data) == 0 || b.used+n > size {
		b.close(size)
		b.data = append(b.data, make([]byte, size))
		b.used = b.g.dataHeader()
	}
	p := b.data[len(b.data)-1][b.used:][:n]
	be.PutUint64(p, x.ino)
	p[8] = byte(len(x.name))
	copy(p[9:], x.name)
	if b.g.fileTypes() {
		p[9+len(x.name)] = x.kind
	}
	be.PutUint16(p[n-2:], uint16(b.used))
	addr := uint64(len(b.data)-1)*uint64(size) + uint64(b.used)
	b.index = append(b.index, indexEntry{nameHash([]byte(x.name)), uint32(addr >> 3)})
	b.used += n
}

// close marks what is unused of the last block, up to end.
func (b *dirImage) close(end int) {
	if len(b.data) == 0 {
		return
	}
	raw, room := b.data[len(b.data)-1], end-b.used
	best := 4
	if b.g.v5() {
		best = 48
	}
	b.rooms = append(b.rooms, uint16(room))
	if room == 0 {
		return
	}
	be.PutUint16(raw[best:], uint16(b.used))
	be.PutUint16(raw[best+2:], uint16(room))
	be.PutUint16(raw[b.used:], dirFreeTag)
	be.PutUint16(raw[b.used+2:], uint16(room))
	be.PutUint16(raw[end-2:], uint16(b.used))
}

// fitsBlock reports whether the index finds room behind the entries.
func (b *dirImage) fitsBlock() bool {
	return len(b.data) == 1 && b.used+len(b.index)*dirLeafEntry+dirBlockTail <= len(b.data[0])
}

// oneBlock ends a directory of one block.
func (b *dirImage) oneBlock() {
	raw := b.data[0]
	tail := len(raw) - dirBlockTail
	at := tail - len(b.index)*dirLeafEntry
	b.close(at)
	putIndex(raw[at:], b.index)
	be.PutUint32(raw[tail:], uint32(len(b.index)))
	be.PutUint32(raw, b.g.magic(dirBlockMagic4, dirBlockMagic5))
}

func putIndex(p []byte, list []indexEntry) {
	for i, x := range list {
		be.PutUint32(p[i*dirLeafEntry:], x.hash)
		be.PutUint32(p[i*dirLeafEntry+4:], x.addr)
	}
}

func (g *geometry) magic(v4, v5 uint32) uint32 {
	if g.v5() {
		return v5
	}
	return v4
}

// manyBlocks ends the blocks of a larger one.
func (b *dirImage) manyBlocks() {
	b.close(len(b.data[0]))
	for _, raw := range b.data {
		be.PutUint32(raw, b.g.magic(dirDataMagic4, dirDataMagic5))
	}
}

// leaf1 is the index with the rooms in one block, or nil when it does not fit.
func (b *dirImage) leaf1() []byte {
	size, header := b.g.dirBlockSize(), b.g.daHeader()
	if header+len(b.index)*dirLeafEntry+len(b.rooms)*2+4 > size {
		return nil
	}
	raw := b.leaf(b.index, leaf1Magic4)
	be.PutUint32(raw[size-4:], uint32(len(b.rooms)))
	for i, n := range b.rooms {
		be.PutUint16(raw[size-4-(len(b.rooms)-i)*2:], n)
	}
	return raw
}

// leaf is one block of the index.
func (b *dirImage) leaf(list []indexEntry, magic uint16) []byte {
	raw := make([]byte, b.g.dirBlockSize())
	countAt := b.g.putDaMagic(raw, magic)
	be.PutUint16(raw[countAt:], uint16(len(list)))
	putIndex(raw[b.g.daHeader():], list)
	return raw
}

// putDaMagic writes the magic number of a block of a tree of names, and says where
// its counts are.
func (g *geometry) putDaMagic(raw []byte, magic uint16) (countAt int) {
	if !g.v5() {
		be.PutUint16(raw[daMagicAt:], magic)
		return 12
	}
	for v5, v4 := range daMagics {
		if v4 == magic {
			be.PutUint16(raw[daMagicAt:], v5)
		}
	}
	return 56
}

// tree is the index as leafs below nodes; the root is the first block.
func (b *dirImage) tree() [][]byte {
	size := b.g.dirBlockSize()
	per := (size - b.g.daHeader()) / dirLeafEntry
	var leafs [][]byte
	var tops []uint32
	most := evenly(len(b.index), (len(b.index)+per-1)/per)[0]
	for rest := b.index; len(rest) > 0; {
		n := cutIndex(rest, most)
		leafs = append(leafs, b.leaf(rest[:n], leafNMagic4))
		tops = append(tops, rest[n-1].hash)
		rest = rest[n:]
	}
	return b.g.daTree(leafs, tops, size, uint32(b.g.dirIndexStart()), uint32(1)<<b.g.dirBits)
}

// cutIndex is how many entries a leaf takes, of at most so many: those of one hash
// stay together if they can.
func cutIndex(list []indexEntry, most int) int {
	if len(list) <= most {
		return len(list)
	}
	n := most
	for n > 0 && list[n-1].hash == list[most].hash {
		n--
	}
	if n == 0 {
		return most
	}
	return n
}

// daTree links leafs, whose largest hashes are tops, and puts nodes above them. The
// root comes first; numbers of blocks go from start in steps.
func (g *geometry) daTree(leafs [][]byte, tops []uint32, size int, start, step uint32) [][]byte {
	if len(leafs) == 1 {
		return leafs
	}
	out := append([][]byte{nil}, leafs...)
	nr := func(i int) uint32 { return start + uint32(i)*step }
	row := make([]int, len(leafs)) // blocks of the level, by their place in out
	for i := range row {
		row[i] = i + 1
	}
	per := (size - g.daHeader()) / daEntry
	for level := uint16(1); len(row) > 1; level++ {
		for i, at := range row {
			if i > 0 {
				be.PutUint32(out[at][4:], nr(row[i-1]))
			}
			if i+1 < len(row) {
				be.PutUint32(out[at][daForwAt:], nr(row[i+1]))
			}
		}
		var above []int
		var hashes []uint32
		for _, n := range evenly(len(row), (len(row)+per-1)/per) {
			raw := make([]byte, size)
			countAt := g.putDaMagic(raw, daNodeMagic4)
			be.PutUint16(raw[countAt:], uint16(n))
			be.PutUint16(raw[countAt+2:], level)
			for i := range n {
				be.PutUint32(raw[g.daHeader()+i*daEntry:], tops[i])
				be.PutUint32(raw[g.daHeader()+i*daEntry+4:], nr(row[i]))
			}
			hashes = append(hashes, tops[n-1])
			if n == len(row) && len(above) == 0 {
				out[0], above = raw, append(above, 0)
			} else {
				above, out = append(above, len(out)), append(out, raw)
			}
			row, tops = row[n:], tops[n:]
		}
		row, tops = above, hashes
	}
	return out
}

// freeBlocks tell of the room in the blocks of entries.
func (b *dirImage) freeBlocks() [][]byte {
	var out [][]byte
	for first := 0; first < len(b.rooms); {
		rooms := b.rooms[first:min(len(b.rooms), first+b.g.freeRoom())]
		raw := make([]byte, b.g.dirBlockSize())
		be.PutUint32(raw, b.g.magic(dirFreeMagic4, dirFreeMagic5))
		at, header := 4, daHeader4
		if b.g.v5() {
			at, header = 48, daHeader5
		}
		be.PutUint32(raw[at:], uint32(first))
		be.PutUint32(raw[at+4:], uint32(len(rooms)))
		be.PutUint32(raw[at+8:], uint32(len(rooms)))
		for i, n := range rooms {
			be.PutUint16(raw[header+i*2:], n)
		}
		out, first = append(out, raw), first+len(rooms)
	}
	return out
}
