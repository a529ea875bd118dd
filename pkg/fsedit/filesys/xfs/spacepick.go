package xfs

import (
	"cmp"
	"slices"
)

// Which AG blocks come from, and how many of its blocks must stay for the trees
// that finish will build.

// roomiest is the AG to take want blocks from: one in use that has a run of so many
// free blocks, any that has, or the one with the longest run. As few AGs as
// possible are touched, since all trees of one are read and written.
func (s *space) roomiest(want uint32) (*group, error) {
	if g := s.groups[s.last]; g != nil && g.runAt(g.next) >= want && s.usable(g) >= uint64(want) {
		return g, nil
	}
	if err := s.survey(); err != nil {
		return nil, err
	}
	for {
		var best uint32
		var rank [3]uint64
		for ag := range s.v.agCount {
			if r := s.rank(ag, want); slices.Compare(r[:], rank[:]) > 0 {
				best, rank = ag, r
			}
		}
		if rank[0] == 0 {
			return nil, errFull("blocks")
		}
		if g := s.groups[best]; g != nil {
			return g, nil
		}
		if _, err := s.group(best); err != nil {
			return nil, err
		}
	}
}

// rank says how good an AG is: how much of want it has in one run, whether it is
// in use already, and how long the run is.
func (s *space) rank(ag, want uint32) [3]uint64 {
	g := s.groups[ag]
	if g == nil {
		longest := uint64(s.agfs[ag].Longest)
		return [3]uint64{min(longest, uint64(want)), 0, longest}
	}
	_, e := g.avail.largest()
	room := min(uint64(e.count), s.usable(g))
	known := uint64(1)
	if g.changed() {
		known++
	}
	return [3]uint64{min(room, uint64(want)), known, room}
}

func (g *group) changed() bool { return g.spaceChanged || g.inodesChanged || g.sharedChanged }

// runAt is how many blocks are free from agbno on.
func (g *group) runAt(agbno uint32) uint32 {
	i := g.avail.search(agbno)
	if i == len(g.avail) || g.avail[i].start > agbno {
		return 0
	}
	return g.avail[i].end() - agbno
}

// find chooses at most want blocks: where the last ended, or in the longest run.
func (g *group) find(want uint32) extent {
	if g.runAt(g.next) >= want {
		return extent{g.next, want}
	}
	_, e := g.avail.largest()
	return extent{e.start, min(e.count, want)}
}

// byRoom lists the AGs in which new inodes may be made: the one that is asked for,
// those in use, and the others, from the longest free run down.
func (s *space) byRoom(ag uint32) []uint32 {
	var out []uint32
	for n := range s.v.agCount {
		if s.groups[n] != nil || s.agfs[n].Longest >= s.v.chunkBlocks() {
			out = append(out, n)
		}
	}
	first := func(n uint32) int {
		switch {
		case n == ag:
			return 0
		case s.groups[n] != nil:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(s.agfs[b].Longest, s.agfs[a].Longest))
	})
	return out
}

// usable is how many blocks of a group can be given out.
func (s *space) usable(g *group) uint64 {
	kept := s.demand(g, fillRoomy, 1) + uint64(g.minFreeList(s.v)) + setAside
	return g.left - min(g.left, kept)
}

// setAside is what the kernel keeps in each AG to be able to free blocks.
const setAside = 4

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
