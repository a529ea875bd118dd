package xfs

import (
	"cmp"
	"slices"
)

// Which AG blocks come from.

// roomiest is the AG to take want blocks from: one in use that has a run of so many
// free blocks, any that has, or the one with the longest run. As few AGs as
// possible are touched, since all trees of one are read and written.
func (s *space) roomiest(want uint32) (*group, error) {
	if g := s.groups[s.last]; g != nil && g.runAt(g.next) >= want && s.usable(g) >= uint64(want) {
		return g, nil
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
