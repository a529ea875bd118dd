package xfs

// What must stay free. The trees that finish builds need blocks; and a kernel that
// mounts the filesystem puts some aside without which it cannot even delete: it then
// waits for ever.

// usable is how many blocks of a group can be given out.
func (s *space) usable(g *group) uint64 {
	list := uint64(g.minFreeList(s.v)) + setAside
	trees := s.demand(g, fillRoomy, 1) + list
	kernel := s.v.reservation(g.num, &g.agf, &g.agi) + list
	free := g.left + g.freed.blocks()
	return min(g.left-min(g.left, trees), free-min(free, kernel))
}

// setAside is what the kernel keeps in each AG to be able to free blocks, beside its
// AGFL.
const setAside = 4

// reservation is how many free blocks of an AG the kernel keeps for its trees of
// references, free inodes and the reverse map to grow to their largest
// (xfs_ag_resv_init).
func (v *volume) reservation(ag uint32, f *agf, i *agi) uint64 {
	geo, blocks := &v.geometry, uint64(v.agSize(ag))
	if log, _ := v.split(v.super.LogStart); uint32(log) == ag {
		blocks -= min(blocks, uint64(v.super.LogBlocks))
	}
	total := uint64(0)
	keep := func(bit uint32, want, used uint64) {
		if v.has(roCompat, bit) {
			total += want - min(want, used)
		}
	}
	keep(frReflink, refcountbt.largest(geo, blocks), uint64(f.RefcountBlocks))
	keep(frFinobt, finobt.largest(geo, blocks<<v.inopBits/chunkInodes), uint64(i.FBlocks))
	keep(frRmapbt, max(blocks/100, rmapbt.largest(geo, blocks)), uint64(f.RmapBlocks))
	return total
}

// largest is how many blocks a tree of n records can have.
func (k *treeKind) largest(g *geometry, n uint64) uint64 {
	total := uint64(0)
	for level := 0; ; level++ {
		least := uint64(max(2, k.room(g, level)/2))
		n = (n + least - 1) / least
		total += max(1, n)
		if n <= 1 {
			return total
		}
	}
}

// spare reports whether count blocks of all that are free can be given out: half of
// what the kernel holds back for metadata (xfs_default_resblks) is, so that a full
// filesystem can still be edited a little.
func (s *space) spare(count uint64) bool {
	pool := min(s.v.blockCount/20, 8192) / 2
	return s.free >= s.reserved+pool+count
}

// fits reports whether the trees of a group can be built, with the blocks that
// theirs have now and those of its AGFL if it must be.
func (s *space) fits(g *group) error {
	have := g.left + uint64(len(g.agfl))
	for _, t := range g.trees {
		if g.rebuilds(t.kind) {
			have += uint64(t.shape.blocks())
		}
	}
	if s.demand(g, fillTight, 0) > have {
		return errFull("blocks for the trees of a group")
	}
	return nil
}

// rebuilds reports whether a tree may need other blocks than it has.
func (g *group) rebuilds(k *treeKind) bool {
	switch k {
	case inobt, finobt:
		return g.inodesChanged
	case refcountbt:
		return g.sharedChanged
	}
	return true
}

// demand is the most blocks that new trees of a group can need, when more records
// will be added to each.
func (s *space) demand(g *group, fill filling, more int) uint64 {
	geo := &s.v.geometry
	old, own := 0, len(g.agfl)
	for _, t := range g.trees {
		old += t.shape.blocks()
	}
	total := 2 * bnobt.blocks(geo, len(g.avail)+len(g.freed)+old+more, fill)
	if g.inodesChanged || more > 0 {
		total += inobt.blocks(geo, len(g.chunks)+more, fill)
		if g.trees[finobt] != nil {
			total += finobt.blocks(geo, len(g.chunks)+more, fill)
		}
	}
	if g.trees[refcountbt] != nil && (g.sharedChanged || more > 0) {
		total += refcountbt.blocks(geo, len(g.shared)+more, fill)
	}
	if g.trees[rmapbt] != nil {
		n := len(g.rmaps) + more + own + old + total
		total += rmapbt.blocks(geo, n+rmapbt.blocks(geo, n, fill), fill)
	}
	return uint64(total)
}

// minFreeList is how many blocks the AGFL should have: the kernel fills it up to
// that before it allocates.
func (g *group) minFreeList(v *volume) int {
	levels := uint32(0)
	for i := range v.freeTrees() {
		levels += g.agf.Levels[i]
	}
	return 2 * int(levels)
}
