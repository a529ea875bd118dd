package ext

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Allocation. What was in use when the session began stays out of reach until
// it ends, even when freed: the old content of every file is intact until
// Commit has written all of the new.

func errFull(what string) error {
	return ondisk.At(layer, "", ondisk.NoOffset).NoSpace("no free %s left", what)
}

// busyBlocks is the block bitmap with what the session freed still set.
func (e *editor) busyBlocks(g *group) (bitmap, error) {
	now, err := e.blockBitmap(e.v, g)
	if err != nil {
		return nil, err
	}
	was, err := e.blocksAtStart(g.num)
	if err != nil {
		return nil, err
	}
	return now.or(was), nil
}

// blocksAtStart is the block bitmap of a group when the session began.
func (e *editor) blocksAtStart(n uint32) (bitmap, error) {
	if b := e.startBlocks[n]; b != nil {
		return b, nil
	}
	g, err := e.base.group(n)
	if err != nil {
		return nil, err
	}
	b, err := e.blockBitmap(e.base, g)
	if err == nil {
		e.startBlocks[n] = b
	}
	return b, err
}

func (e *editor) inodesAtStart(n uint32) (bitmap, error) {
	if b := e.startInodes[n]; b != nil {
		return b, nil
	}
	g, err := e.base.group(n)
	if err != nil {
		return nil, err
	}
	b, err := e.inodeBitmap(e.base, g)
	if err == nil {
		e.startInodes[n] = b
	}
	return b, err
}

func (b bitmap) or(c bitmap) bitmap {
	out := slices.Clone(b)
	for i := range out {
		out[i] |= c[i]
	}
	return out
}

// allocBlocks takes n blocks in few zones, the first near goal.
func (e *editor) allocBlocks(goal, n uint64) ([]zone, error) {
	var out []zone
	for n > 0 {
		z, err := e.allocZone(goal, n)
		if err != nil {
			return nil, err
		}
		out = append(out, z)
		n -= z.n
		goal = z.end()
	}
	return out, nil
}

// allocBlock takes one block.
func (e *editor) allocBlock(goal uint64) (uint64, error) {
	z, err := e.allocZone(goal, 1)
	return z.start, err
}

// allocZone takes a zone of at most want blocks. Groups in use come before
// those that were never initialised, and a zone that is long enough before the
// longest there is.
func (e *editor) allocZone(goal, want uint64) (zone, error) {
	v := e.v
	if !v.inVolume(goal, 1) {
		goal = v.firstData
	}
	want = min(want, uint64(v.blocksPerGroup))
	enough := uint32(min(want, uint64(v.blocksPerGroup/8)))
	var best span
	var bestGroup uint32
	for _, fresh := range []bool{false, true} {
		for i := range v.groupCount {
			n := uint32((uint64(v.groupOf(goal)) + uint64(i)) % uint64(v.groupCount))
			from := uint32(0)
			if i == 0 {
				from = uint32(goal - v.groupStart(n))
			}
			s, err := e.searchGroup(n, from, uint32(want), fresh)
			if err != nil {
				return zone{}, err
			}
			if s.n > best.n {
				best, bestGroup = s, n
			}
			if best.n >= enough {
				return e.takeZone(bestGroup, best)
			}
		}
	}
	if best.n == 0 {
		return zone{}, errFull("blocks")
	}
	return e.takeZone(bestGroup, best)
}

// searchGroup finds the best free span of a group, if the group is fresh or not
// as asked.
func (e *editor) searchGroup(n, from, want uint32, fresh bool) (span, error) {
	g, err := e.v.group(n)
	if err != nil || g.freeClusters() == 0 || e.v.uninit(g, bgBlockUninit) != fresh {
		return span{}, err
	}
	busy, err := e.busyBlocks(g)
	if err != nil {
		return span{}, err
	}
	limit := e.v.groupBlocks(n)
	s := busy.findRun(from, limit, want)
	if from > 0 && s.n < want {
		if t := busy.findRun(0, limit, want); t.n > s.n {
			s = t
		}
	}
	return s, nil
}

func (e *editor) takeZone(n uint32, s span) (zone, error) {
	z := zone{e.v.groupStart(n) + uint64(s.at), uint64(s.n)}
	if inZones(e.zones, z) {
		return zone{}, ondisk.At(layer, "block bitmap", ondisk.NoOffset).Corrupt("metadata in blocks %d+%d is marked free", z.start, z.n)
	}
	return z, e.markBlocks(z, true)
}

// markBlocks sets or clears the bits of blocks, which must be the other way.
func (e *editor) markBlocks(z zone, used bool) error {
	v := e.v
	for z.n > 0 {
		g, err := v.group(v.groupOf(z.start))
		if err != nil {
			return err
		}
		b, err := e.blockBitmap(v, g)
		if err != nil {
			return err
		}
		first := uint32(z.start - v.groupStart(g.num))
		n := uint32(min(z.n, uint64(v.groupBlocks(g.num)-first)))
		for i := first; i < first+n; i++ {
			if b.has(i) == used {
				return ondisk.At(layer, "block bitmap", v.byteOff(g.blockBitmap())).Corrupt("block %d: two owners, or none", z.start+uint64(i-first))
			}
			b.flip(i)
		}
		if err := e.putBlockBitmap(g, b); err != nil {
			return err
		}
		z = zone{z.start + uint64(n), z.n - uint64(n)}
	}
	return nil
}

// freeBlocks gives blocks back and forgets what was staged for them.
func (e *editor) freeBlocks(z zone) error {
	if !e.v.inVolume(z.start, z.n) || inZones(e.zones, z) {
		return ondisk.At(layer, "", ondisk.NoOffset).Corrupt("blocks %d+%d belong to no file", z.start, z.n)
	}
	for i := range z.n {
		e.stage.Drop(z.start + i)
	}
	return e.markBlocks(z, false)
}

// allocInode takes an inode near a group; its table slot is all zero after.
func (e *editor) allocInode(near uint32, dir bool) (uint32, error) {
	v := e.v
	for _, fresh := range []bool{false, true} {
		for i := range v.groupCount {
			n := uint32((uint64(near) + uint64(i)) % uint64(v.groupCount))
			num, err := e.allocInodeIn(n, dir, fresh)
			if num != 0 || err != nil {
				return num, err
			}
		}
	}
	return 0, errFull("inodes")
}

// allocInodeIn takes an inode of group n; 0 when it has none or is not fresh as asked.
func (e *editor) allocInodeIn(n uint32, dir, fresh bool) (uint32, error) {
	v := e.v
	g, err := v.group(n)
	if err != nil || g.freeInodes() == 0 || v.uninit(g, bgInodeUninit) != fresh {
		return 0, err
	}
	now, err := e.inodeBitmap(v, g)
	if err != nil {
		return 0, err
	}
	was, err := e.inodesAtStart(n)
	if err != nil {
		return 0, err
	}
	first := uint32(0)
	if n == 0 {
		first = v.firstInode - 1
	}
	s := now.or(was).nextClear(first, v.inodesPerGroup)
	if s.n == 0 {
		return 0, nil
	}
	if err := e.useTable(g, s.at); err != nil {
		return 0, err
	}
	now.set(s.at)
	if dir {
		g.setUsedDirs(g.usedDirs() + 1)
	}
	return n*v.inodesPerGroup + s.at + 1, e.putInodeBitmap(g, now)
}

// useTable extends the part of an inode table that counts as initialised to
// slot i. Slots that were never written may hold what the disk held before.
func (e *editor) useTable(g *group, i uint32) error {
	v := e.v
	if !v.groupChecksums() {
		return e.clearSlots(g, i, i+1)
	}
	unused := g.itableUnused()
	if g.Flags&bgInodeUninit != 0 || unused > v.inodesPerGroup {
		unused = v.inodesPerGroup
	}
	first := v.inodesPerGroup - unused
	g.setItableUnused(min(unused, v.inodesPerGroup-i-1))
	if first > i || g.Flags&bgInodeZeroed != 0 {
		first = i
	}
	return e.clearSlots(g, first, i+1)
}

// clearSlots zeroes the inodes from slot first to before end.
func (e *editor) clearSlots(g *group, first, end uint32) error {
	v := e.v
	start := v.byteOff(g.inodeTable()) + int64(first)*int64(v.inodeSize)
	stop := v.byteOff(g.inodeTable()) + int64(end)*int64(v.inodeSize)
	for start < stop {
		nr, in := uint64(start>>v.blockBits), start&(v.blockSize-1)
		n := min(stop-start, v.blockSize-in)
		block, err := e.block(nr)
		if err != nil {
			return err
		}
		clear(block[in : in+n])
		e.stage.Put(nr, block)
		start += n
	}
	return nil
}

// releaseInode clears the bit of an inode.
func (e *editor) releaseInode(num uint32, dir bool) error {
	v := e.v
	g, err := v.group((num - 1) / v.inodesPerGroup)
	if err != nil {
		return err
	}
	b, err := e.inodeBitmap(v, g)
	if err != nil {
		return err
	}
	i := (num - 1) % v.inodesPerGroup
	if !b.has(i) {
		return ondisk.At(layer, "inode bitmap", v.byteOff(g.inodeBitmap())).Corrupt("inode %d is in use and marked free", num)
	}
	b.clear(i)
	if dir && g.usedDirs() > 0 {
		g.setUsedDirs(g.usedDirs() - 1)
	}
	return e.putInodeBitmap(g, b)
}
