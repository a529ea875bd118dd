package ext

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// putGroup seals a patched descriptor and stages it.
func (e *editor) putGroup(g *group) error {
	e.v.sealGroup(g.num, g.raw)
	g.groupDesc = decodeGroupDesc(g.raw)
	nr, in := e.v.descPlace(g.num)
	block, err := e.block(nr)
	if err != nil {
		return err
	}
	copy(block[in:], g.raw)
	e.stage.Put(nr, block)
	e.groups[g.num] = struct{}{}
	return nil
}

// set stores a counter of a descriptor in its low and, where there is one, high half.
func (g *group) set(lo, hi int, v uint32) {
	le.PutUint16(g.raw[lo:], uint16(v))
	if len(g.raw) >= descSize64 {
		le.PutUint16(g.raw[hi:], uint16(v>>16))
	}
	g.groupDesc = decodeGroupDesc(g.raw)
}

func (g *group) setFreeBlocks(n uint32)   { g.set(bgFreeBlocksLo, bgFreeBlocksHi, n) }
func (g *group) setFreeInodes(n uint32)   { g.set(bgFreeInodesLo, bgFreeInodesHi, n) }
func (g *group) setUsedDirs(n uint32)     { g.set(bgUsedDirsLo, bgUsedDirsHi, n) }
func (g *group) setItableUnused(n uint32) { g.set(bgItableUnusedLo, bgItableUnusedHi, n) }

func (g *group) clearFlag(flag uint16) {
	le.PutUint16(g.raw[bgFlags:], g.Flags&^flag)
	g.groupDesc = decodeGroupDesc(g.raw)
}

// uninit reports whether a flag of a descriptor counts: without checksums of
// descriptors the flags mean nothing.
func (v *volume) uninit(g *group, flag uint16) bool {
	return v.groupChecksums() && g.Flags&flag != 0
}

// bitmapSumAgrees compares a bitmap's checksum with the descriptor, whose upper
// half exists in large descriptors only.
func (v *volume) bitmapSumAgrees(sum, stored uint32) bool {
	if v.descSize < descSize64 {
		sum &= 0xFFFF
	}
	return sum == stored
}

// blockBitmap returns a private copy of the block bitmap of a group. One that
// was never initialised is made up from what mkfs put into the group.
func (e *editor) blockBitmap(v *volume, g *group) (bitmap, error) {
	if v.uninit(g, bgBlockUninit) {
		return e.freshBlockBitmap(g.num), nil
	}
	raw, err := v.readBlock(g.blockBitmap())
	if err != nil {
		return nil, err
	}
	b := bitmap(slices.Clone(raw))
	at := ondisk.At(layer, "block bitmap", v.byteOff(g.blockBitmap())).In("group %d", g.num)
	if v.checksums() && !v.bitmapSumAgrees(bitmapSum(v.seed, b, v.clustersPerGroup), g.blockBitmapCsum()) {
		return nil, at.Corrupt("checksum")
	}
	if free := b.zeros(v.groupBlocks(g.num)); free != g.freeClusters() {
		return nil, at.Corrupt("%d free blocks, the descriptor says %d", free, g.freeClusters())
	}
	return b, nil
}

// freshBlockBitmap is the bitmap of a group that holds metadata only.
func (e *editor) freshBlockBitmap(n uint32) bitmap {
	v := e.v
	b := make(bitmap, v.blockSize)
	start, blocks := v.groupStart(n), v.groupBlocks(n)
	for _, z := range e.zones {
		lo, hi := max(z.start, start), min(z.end(), start+uint64(blocks))
		for nr := lo; nr < hi; nr++ {
			b.set(uint32(nr - start))
		}
	}
	b.setFrom(blocks)
	return b
}

// putBlockBitmap stages a block bitmap, its checksum and the free count.
func (e *editor) putBlockBitmap(g *group, b bitmap) error {
	v := e.v
	if v.checksums() {
		g.set(bgBlockBitmapCsumLo, bgBlockBitmapCsumHi, bitmapSum(v.seed, b, v.clustersPerGroup))
	}
	g.clearFlag(bgBlockUninit)
	g.setFreeBlocks(b.zeros(v.groupBlocks(g.num)))
	e.stage.Put(g.blockBitmap(), b)
	return e.putGroup(g)
}

// inodeBitmap returns a private copy of the inode bitmap of a group.
func (e *editor) inodeBitmap(v *volume, g *group) (bitmap, error) {
	if v.uninit(g, bgInodeUninit) {
		b := make(bitmap, v.blockSize)
		b.setFrom(v.inodesPerGroup)
		return b, nil
	}
	raw, err := v.readBlock(g.inodeBitmap())
	if err != nil {
		return nil, err
	}
	b := bitmap(slices.Clone(raw))
	at := ondisk.At(layer, "inode bitmap", v.byteOff(g.inodeBitmap())).In("group %d", g.num)
	if v.checksums() && !v.bitmapSumAgrees(bitmapSum(v.seed, b, v.inodesPerGroup), g.inodeBitmapCsum()) {
		return nil, at.Corrupt("checksum")
	}
	if free := b.zeros(v.inodesPerGroup); free != g.freeInodes() {
		return nil, at.Corrupt("%d free inodes, the descriptor says %d", free, g.freeInodes())
	}
	return b, nil
}

// putInodeBitmap stages an inode bitmap, its checksum and the free count.
func (e *editor) putInodeBitmap(g *group, b bitmap) error {
	v := e.v
	if v.checksums() {
		g.set(bgInodeBitmapCsumLo, bgInodeBitmapCsumHi, bitmapSum(v.seed, b, v.inodesPerGroup))
	}
	g.clearFlag(bgInodeUninit)
	g.setFreeInodes(b.zeros(v.inodesPerGroup))
	e.stage.Put(g.inodeBitmap(), b)
	return e.putGroup(g)
}
