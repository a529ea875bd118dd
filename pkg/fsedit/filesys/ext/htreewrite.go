package ext

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dxIndex is the index of a directory, flattened: its leaves by ascending hash.
type dxIndex struct {
	hash   *dirHash
	leaves []dxEntry
}

// maxDxLevels is how many levels of index may lie below the root.
func (v *volume) maxDxLevels() int {
	if v.hasIncompat(fiLargeDir) {
		return 2
	}
	return 1
}

// index reads the whole index of an htree.
func (d *directory) index() (*dxIndex, error) {
	v := d.e.v
	if len(d.blocks) == 0 {
		return nil, d.in.at().Corrupt("an indexed directory without blocks")
	}
	root, err := d.block(0)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "htree root", v.byteOff(d.blocks[0])).In("inode %d", d.in.num)
	info := root[dxRootInfo:]
	version, infoLen, levels := info[4], info[5], int(info[6])
	if infoLen != 8 || levels > v.maxDxLevels() || le.Uint32(info) != 0 {
		return nil, at.Corrupt("info of %d bytes, %d levels", infoLen, levels)
	}
	hash, ok := newDirHash(version, v.super().Flags&flagUnsignedHash != 0, v.super().HashSeed)
	if !ok || version > hashTEA {
		return nil, at.Unsupported("hash version %d", version)
	}
	level, err := d.dxEntries(root, dxRootCount, at)
	for ; err == nil && levels > 0; levels-- {
		level, err = d.dxLevel(level)
	}
	if err != nil {
		return nil, err
	}
	return &dxIndex{hash, level}, d.checkLeaves(level, at)
}

// dxLevel reads the nodes that the entries of one level name.
func (d *directory) dxLevel(upper []dxEntry) ([]dxEntry, error) {
	var out []dxEntry
	for _, x := range upper {
		block, err := d.block(int(x.block))
		if err != nil {
			return nil, err
		}
		at := ondisk.At(layer, "htree node", d.e.v.byteOff(d.blocks[x.block])).In("inode %d", d.in.num)
		es, err := d.dxEntries(block, dxNodeCount, at)
		if err != nil {
			return nil, err
		}
		es[0].hash = x.hash
		out = append(out, es...)
		if len(out) > len(d.blocks) {
			return nil, at.Corrupt("more entries than the directory has blocks")
		}
	}
	return out, nil
}

// dxEntries decodes the entries of a node. The first has no hash of its own:
// count and limit lie there.
func (d *directory) dxEntries(block []byte, countAt int, at ondisk.Place) ([]dxEntry, error) {
	limit, count := int(le.Uint16(block[countAt:])), int(le.Uint16(block[countAt+2:]))
	if count == 0 || count > limit || limit > (len(block)-countAt)/dxEntrySize {
		return nil, at.Corrupt("%d of %d entries", count, limit)
	}
	out := make([]dxEntry, count)
	for i := range out {
		p := block[countAt+i*dxEntrySize:]
		out[i] = dxEntry{le.Uint32(p), le.Uint32(p[4:]) & 0x0FFFFFFF}
		if i == 0 {
			out[i].hash = 0
		}
		if out[i].block == 0 || int64(out[i].block) >= int64(len(d.blocks)) {
			return nil, at.Corrupt("entry %d: block %d of %d", i, out[i].block, len(d.blocks))
		}
	}
	return out, nil
}

// checkLeaves demands ascending hashes, and no leaf twice.
func (d *directory) checkLeaves(leaves []dxEntry, at ondisk.Place) error {
	seen := make([]bool, len(d.blocks))
	for i, x := range leaves {
		if i > 0 && x.hash < leaves[i-1].hash || seen[x.block] {
			return at.Corrupt("leaf %d: out of order or named twice", i)
		}
		seen[x.block] = true
	}
	return nil
}

// leafOf is the number of the leaf in which a hash begins.
func (x *dxIndex) leafOf(major uint32) int {
	i, _ := slices.BinarySearchFunc(x.leaves, major, func(e dxEntry, h uint32) int {
		if e.hash <= h {
			return -1
		}
		return 1
	})
	return max(i-1, 0)
}

// leavesFor are the blocks in which a name may stand: more than one where
// equal hashes did not fit into one leaf.
func (x *dxIndex) leavesFor(name string) []int {
	major, _ := x.hash.of(name)
	i := x.leafOf(major)
	out := []int{int(x.leaves[i].block)}
	for i++; i < len(x.leaves) && x.leaves[i].hash == major|1; i++ {
		out = append(out, int(x.leaves[i].block))
	}
	return out
}

// insertIndexed puts an entry into the leaf of its hash, or rebuilds the
// directory with it.
func (d *directory) insertIndexed(e leafEntry) error {
	x, err := d.index()
	if err != nil {
		return err
	}
	for _, i := range x.leavesFor(e.name) {
		done, err := d.insertInto(i, e)
		if done || err != nil {
			return err
		}
	}
	return d.rebuild(x.hash, e)
}

// rebuild writes the directory anew as an htree, with one entry more. Its
// blocks are used again.
func (d *directory) rebuild(hash *dirHash, extra leafEntry) error {
	parent, err := d.parent()
	if err != nil {
		return err
	}
	entries, err := d.entries()
	if err != nil {
		return err
	}
	hashed := make([]hashedEntry, 0, len(entries)+1)
	for _, x := range append(entries, extra) {
		major, minor := hash.of(x.name)
		hashed = append(hashed, hashedEntry{x, major, minor})
	}
	shape := d.e.v.htreeShape()
	plan, ok := planHtree(hashed, shape)
	if !ok {
		return d.in.at().NoSpace("the index of the directory is full")
	}
	if err := d.resize(plan.blocks()); err != nil {
		return err
	}
	d.in.setFlags(flIndex, 0)
	d.writeHtree(plan, shape, parent, hash)
	return nil
}

func (v *volume) htreeShape() htreeShape {
	bs, tail := int(v.blockSize), 0
	if v.checksums() {
		tail = dxTailSize
	}
	return htreeShape{
		leafRoom:  v.leafRoom(),
		rootLimit: (bs - dxRootCount - tail) / dxEntrySize,
		nodeLimit: (bs - dxNodeCount - tail) / dxEntrySize,
		maxLevels: v.maxDxLevels(),
	}
}

func (d *directory) writeHtree(plan *htreePlan, shape htreeShape, parent uint32, hash *dirHash) {
	bs := int(d.e.v.blockSize)
	for i, part := range plan.leaves {
		block := make([]byte, bs)
		d.leafOf(block).pack(part)
		d.putLeaf(1+i, block)
	}
	rootEntries, nodes := plan.nodesAbove(shape)
	for _, n := range nodes {
		block := make([]byte, bs)
		putRecLen(block, bs, bs)
		fillDx(block, dxNodeCount, shape.nodeLimit, n.entries)
		d.putNode(int(n.block), dxNodeCount, block)
	}
	root := make([]byte, bs)
	l := leaf{b: root, bs: bs}
	kind := uint8(0)
	if d.e.v.hasIncompat(fiFiletype) {
		kind = ftDir
	}
	l.write(0, direntSize(1), leafEntry{d.in.num, kind, "."})
	l.write(direntSize(1), bs-direntSize(1), leafEntry{parent, kind, ".."})
	info := root[dxRootInfo:]
	info[4], info[5], info[6] = hash.version%hashLegacyUnsigned, 8, uint8(plan.levels)
	fillDx(root, dxRootCount, shape.rootLimit, rootEntries)
	d.putNode(0, dxRootCount, root)
}

// fillDx writes the entries of an index node, then limit and count over the
// hash of the first.
func fillDx(block []byte, countAt, limit int, entries []dxEntry) {
	for i, x := range entries {
		le.PutUint32(block[countAt+i*dxEntrySize:], x.hash)
		le.PutUint32(block[countAt+i*dxEntrySize+4:], x.block)
	}
	le.PutUint16(block[countAt:], uint16(limit))
	le.PutUint16(block[countAt+2:], uint16(len(entries)))
}

// putNode seals an index node and stages it as block i.
func (d *directory) putNode(i, countAt int, block []byte) {
	v := d.e.v
	if v.checksums() {
		tail := countAt + int(le.Uint16(block[countAt:]))*dxEntrySize
		le.PutUint32(block[tail+4:], dxSum(d.in.iseed(v), block, countAt))
	}
	d.e.stage.Put(d.blocks[i], block)
}
