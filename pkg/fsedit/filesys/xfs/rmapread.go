package xfs

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// reverse reads the reverse map. It and the free space are all of the AG, and what
// it says of metadata is what is there.
func (r *groupReader) reverse() error {
	if !r.v.has(roCompat, frRmapbt) {
		return nil
	}
	var files []rmap
	own := map[uint64][]extent{ownFS: nil, ownLog: nil, ownAG: nil, ownInobt: nil, ownRefc: nil, ownInodes: nil}
	cover := coverage{free: r.avail}
	var last rmap
	err := r.read(rmapbt, r.agf.Roots[2], r.agf.Levels[2], func(p []byte, at ondisk.Place) error {
		m := decodeRmap(p)
		at = at.In("blocks %d+%d", m.start, m.count)
		if err := r.checkRmap(m, last, at); err != nil {
			return err
		}
		last = m
		if _, special := own[m.owner]; special {
			own[m.owner] = append(own[m.owner], extent{m.start, m.count})
		}
		if !cover.add(extent{m.start, m.count}) {
			return at.Corrupt("blocks before them are neither free nor in use, or both")
		}
		if m.owner != ownAG && m.owner != ownInobt && m.owner != ownRefc {
			files = append(files, m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !cover.done(r.size) {
		return r.at(rmapbt.name).Corrupt("blocks at the end are neither free nor in use, or both")
	}
	if err := r.compareShared(files); err != nil {
		return err
	}
	r.rmaps = ofOwner(files)
	return r.compareOwn(own)
}

// checkRmap verifies one record that follows another.
func (r *groupReader) checkRmap(m, last rmap, at ondisk.Place) error {
	switch {
	case m.count == 0 || m.start >= r.size || m.count > r.size-m.start || last.count > 0 && byBlock(last, m) >= 0:
		return at.Corrupt("they are out of order")
	case m.owner > ownFS || m.owner < ownFirst && !r.v.inodeOK(m.owner):
		return at.Corrupt("owner %#x", m.owner)
	case m.owner >= ownFirst && m.offset != 0 || m.offset&rmapBmbt != 0 && m.key()<<2 != 0:
		return at.Corrupt("owner %#x at %#x", m.owner, m.offset)
	}
	return nil
}

// compareShared compares how often blocks are in the reverse map, whose records are
// in the order of blocks, with what is known of their being shared.
func (r *groupReader) compareShared(files []rmap) error {
	ends := make([]uint32, len(files))
	for i, m := range files {
		ends[i] = m.end()
	}
	slices.Sort(ends)
	var want refcounts
	next, refs := uint32(0), uint32(0)
	for len(ends) > 0 {
		at := ends[0]
		if len(files) > 0 {
			at = min(at, files[0].start)
		}
		if refs > 1 {
			want = want.join(refcount{next, at - next, refs})
		}
		for ; len(files) > 0 && files[0].start == at; files = files[1:] {
			refs++
		}
		for ; len(ends) > 0 && ends[0] == at; ends = ends[1:] {
			refs--
		}
		next = at
	}
	have := r.shared
	if i := slices.IndexFunc(have, refcount.isCOW); i >= 0 {
		have = have[:i]
	}
	if !slices.Equal(have.merged(), want) {
		return r.at(refcountbt.name).Corrupt("they are not those of the reverse map")
	}
	return nil
}

// compareOwn compares what the reverse map says of metadata with what was found.
func (r *groupReader) compareOwn(own map[uint64][]extent) error {
	inodes, err := r.inodeBlocks()
	if err != nil {
		return err
	}
	for owner, want := range map[uint64][]extent{
		ownFS:     {r.headerBlocks()},
		ownLog:    r.logBlocks(),
		ownAG:     append(blockRuns(r.agfl), r.runsOf(bnobt, cntbt, rmapbt)...),
		ownInobt:  r.runsOf(inobt, finobt),
		ownRefc:   r.runsOf(refcountbt),
		ownInodes: inodes,
	} {
		a, ok := setOf(own[owner])
		b, ok2 := setOf(want)
		if !ok || !ok2 || !slices.Equal(a, b) {
			return r.at(rmapbt.name).Corrupt("the blocks of owner %d are not those of metadata", int64(owner))
		}
	}
	return nil
}

// runsOf are the blocks of trees, as they are.
func (g *group) runsOf(kinds ...*treeKind) []extent {
	var out []extent
	for _, k := range kinds {
		if t := g.trees[k]; t != nil {
			out = append(out, blockRuns(t.blocks())...)
		}
	}
	return out
}

// coverage goes through an AG: each block must be free or in use.
type coverage struct {
	free extents
	next uint32 // all before it is accounted for
}

// add takes the next run in use, which may lie over earlier ones.
func (c *coverage) add(e extent) bool {
	if len(c.free) > 0 && c.free[0].start == c.next && e.start > c.next {
		c.next = c.free[0].end()
		c.free = c.free[1:]
	}
	if e.start > c.next || len(c.free) > 0 && e.end() > c.free[0].start {
		return false
	}
	c.next = max(c.next, e.end())
	return true
}

func (c *coverage) done(size uint32) bool {
	if len(c.free) > 0 && c.free[0].start == c.next {
		c.next = c.free[0].end()
		c.free = c.free[1:]
	}
	return c.next == size && len(c.free) == 0
}
