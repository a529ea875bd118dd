package ext

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// group is the descriptor of a block group: its bytes, a private copy that an
// edit may patch, and their meaning when read.
type group struct {
	num uint32
	off int64 // of the descriptor on the device
	raw []byte
	groupDesc
}

func decodeGroupDesc(p []byte) groupDesc {
	d := groupDesc{
		BlockBitmapLo:     le.Uint32(p[0x00:]),
		InodeBitmapLo:     le.Uint32(p[0x04:]),
		InodeTableLo:      le.Uint32(p[0x08:]),
		FreeBlocksLo:      le.Uint16(p[0x0C:]),
		FreeInodesLo:      le.Uint16(p[0x0E:]),
		UsedDirsLo:        le.Uint16(p[0x10:]),
		Flags:             le.Uint16(p[0x12:]),
		ExcludeBitmapLo:   le.Uint32(p[0x14:]),
		BlockBitmapCsumLo: le.Uint16(p[0x18:]),
		InodeBitmapCsumLo: le.Uint16(p[0x1A:]),
		ItableUnusedLo:    le.Uint16(p[0x1C:]),
		Checksum:          le.Uint16(p[0x1E:]),
	}
	if len(p) < descSize64 {
		return d
	}
	d.BlockBitmapHi = le.Uint32(p[0x20:])
	d.InodeBitmapHi = le.Uint32(p[0x24:])
	d.InodeTableHi = le.Uint32(p[0x28:])
	d.FreeBlocksHi = le.Uint16(p[0x2C:])
	d.FreeInodesHi = le.Uint16(p[0x2E:])
	d.UsedDirsHi = le.Uint16(p[0x30:])
	d.ItableUnusedHi = le.Uint16(p[0x32:])
	d.ExcludeBitmapHi = le.Uint32(p[0x34:])
	d.BlockBitmapCsumHi = le.Uint16(p[0x38:])
	d.InodeBitmapCsumHi = le.Uint16(p[0x3A:])
	d.Reserved = le.Uint32(p[0x3C:])
	return d
}

func wide32(lo, hi uint32) uint64 { return uint64(lo) | uint64(hi)<<32 }
func wide16(lo, hi uint16) uint32 { return uint32(lo) | uint32(hi)<<16 }

func (d *groupDesc) blockBitmap() uint64     { return wide32(d.BlockBitmapLo, d.BlockBitmapHi) }
func (d *groupDesc) inodeBitmap() uint64     { return wide32(d.InodeBitmapLo, d.InodeBitmapHi) }
func (d *groupDesc) inodeTable() uint64      { return wide32(d.InodeTableLo, d.InodeTableHi) }
func (d *groupDesc) freeClusters() uint32    { return wide16(d.FreeBlocksLo, d.FreeBlocksHi) }
func (d *groupDesc) freeInodes() uint32      { return wide16(d.FreeInodesLo, d.FreeInodesHi) }
func (d *groupDesc) usedDirs() uint32        { return wide16(d.UsedDirsLo, d.UsedDirsHi) }
func (d *groupDesc) itableUnused() uint32    { return wide16(d.ItableUnusedLo, d.ItableUnusedHi) }
func (d *groupDesc) blockBitmapCsum() uint32 { return wide16(d.BlockBitmapCsumLo, d.BlockBitmapCsumHi) }
func (d *groupDesc) inodeBitmapCsum() uint32 { return wide16(d.InodeBitmapCsumLo, d.InodeBitmapCsumHi) }

// group reads and verifies the descriptor of group n.
func (v *volume) group(n uint32) (*group, error) {
	if n >= v.groupCount {
		return nil, ondisk.At(layer, "group descriptor", ondisk.NoOffset).Corrupt("group %d of %d", n, v.groupCount)
	}
	nr, in := v.descPlace(n)
	block, err := v.readBlock(nr)
	if err != nil {
		return nil, err
	}
	g := &group{num: n, off: v.byteOff(nr) + int64(in)}
	g.raw = append([]byte(nil), block[in:in+v.descSize]...)
	g.groupDesc = decodeGroupDesc(g.raw)
	return g, v.checkGroup(g)
}

// descPlace is the block that holds the descriptor of group n, and the byte in it.
func (g *geometry) descPlace(n uint32) (block uint64, in int) {
	return g.descBlock(n / g.descsPerBlock), int(n%g.descsPerBlock) * g.descSize
}

// descBlock is where the i-th block of descriptors lies: behind the superblock,
// or with meta_bg at the start of the first group that it describes.
func (g *geometry) descBlock(i uint32) uint64 {
	super := uint64(superOffset / g.blockSize)
	if !g.hasIncompat(fiMetaBG) || i < g.firstMetaBG {
		return super + 1 + uint64(i)
	}
	first := i * g.descsPerBlock
	nr := g.groupStart(first)
	if g.hasBackup(first) {
		nr++
	}
	if g.blockSize == 1024 && i == 0 && g.firstData == 0 {
		nr++ // bigalloc with blocks of 1 KiB: block 0 is the boot block
	}
	return nr
}

func (v *volume) checkGroup(g *group) error {
	at := ondisk.At(layer, "group descriptor", g.off).In("group %d", g.num)
	if v.groupChecksums() {
		if sum := v.groupSum(g.num, g.raw); sum != g.Checksum {
			return at.Corrupt("checksum %#04x, computed %#04x", g.Checksum, sum)
		}
	}
	if !v.inVolume(g.blockBitmap(), 1) || !v.inVolume(g.inodeBitmap(), 1) || !v.inVolume(g.inodeTable(), v.inodeTableBlocks()) {
		return at.Corrupt("bitmaps at %d and %d, inode table at %d: outside the filesystem",
			g.blockBitmap(), g.inodeBitmap(), g.inodeTable())
	}
	return nil
}

// groupSum computes the checksum of a descriptor, of whichever kind is in use.
func (g *geometry) groupSum(n uint32, raw []byte) uint16 {
	if g.checksums() {
		return groupSum(g.seed, n, raw)
	}
	return groupSum16(g.uuid, n, raw)
}

// sealGroup stores the checksum in the bytes of a descriptor that has one.
func (g *geometry) sealGroup(n uint32, raw []byte) {
	if g.groupChecksums() {
		le.PutUint16(raw[bgChecksum:], g.groupSum(n, raw))
	}
}

// groupStart is the first block of group n.
func (g *geometry) groupStart(n uint32) uint64 {
	return g.firstData + uint64(n)*uint64(g.blocksPerGroup)
}

// groupBlocks is the number of blocks in group n; the last may be shorter.
func (g *geometry) groupBlocks(n uint32) uint32 {
	return uint32(min(uint64(g.blocksPerGroup), g.blockCount-g.groupStart(n)))
}

// groupOf is the group of block b, which must be in the volume.
func (g *geometry) groupOf(b uint64) uint32 {
	return uint32((b - g.firstData) / uint64(g.blocksPerGroup))
}

func (g *geometry) inodeTableBlocks() uint64 {
	return g.blocksOf(int64(g.inodesPerGroup) * int64(g.inodeSize))
}

// hasBackup reports whether group n starts with a copy of the superblock; group
// 0 holds the primary.
func (g *geometry) hasBackup(n uint32) bool {
	switch {
	case n == 0:
		return true
	case g.hasCompat(fcSparseSuper2):
		return n == g.backupBGs[0] || n == g.backupBGs[1]
	case n == 1 || !g.hasROCompat(frSparseSuper):
		return true
	}
	return isPower(n, 3) || isPower(n, 5) || isPower(n, 7)
}

func isPower(n, base uint32) bool {
	for n > 1 && n%base == 0 {
		n /= base
	}
	return n == 1
}
