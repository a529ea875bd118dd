package xfs

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// group is an AG as a transaction sees it.
type group struct {
	num, size uint32
	agf       agf // when the transaction began
	agi       agi
	agfl      []uint32
	trees     map[*treeKind]*treePlan // those that the AG has, as they are

	avail  extents // free when the transaction began, and still
	taken  extents // of those, what is in use now
	freed  extents // in use when it began, and no longer
	fixed  extents // holds metadata of the AG
	left   uint64  // blocks of avail
	next   uint32  // where the last allocation ended
	chunks []chunk
	rmaps  rmaps // but those of trees and AGFL
	shared refcounts

	spaceChanged  bool
	inodesChanged bool
	sharedChanged bool
}

func (g *group) at(name string) ondisk.Place {
	return ondisk.At(layer, name, ondisk.NoOffset).In("group %d", g.num)
}

// groupReader reads an AG whole, and believes nothing that something else
// contradicts.
type groupReader struct {
	*group
	s *space
	v *volume
}

// readGroup reads all trees of an AG.
func (s *space) readGroup(ag uint32) (*group, error) {
	r := &groupReader{&group{num: ag, size: s.v.agSize(ag), trees: map[*treeKind]*treePlan{}}, s, s.v}
	for _, step := range []func() error{
		r.headers, r.freeSpace, r.bySize, r.inodes, r.freeInodes, r.refcounts, r.metadata, r.reverse, r.counters,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	r.left = r.avail.blocks()
	return r.group, nil
}

func (r *groupReader) headers() (err error) {
	if r.agf, _, err = r.v.agf(r.num); err != nil {
		return err
	}
	if r.agi, _, err = r.v.agi(r.num); err != nil {
		return err
	}
	r.agfl, err = r.v.agfl(r.num, r.agf)
	return err
}

// read walks a tree. What its records take in memory is limited.
func (r *groupReader) read(kind *treeKind, root, levels uint32, visit func(p []byte, at ondisk.Place) error) error {
	t, err := r.v.readTree(r.num, kind, root, levels, r.at("AGF"), func(p []byte, at ondisk.Place) error {
		if r.s.room -= int64(kind.record); r.s.room < 0 {
			return at.TooBig("the records of the groups take more than %d bytes", r.v.limits.Table)
		}
		return visit(p, at)
	})
	r.trees[kind] = t
	return err
}

func (r *groupReader) freeSpace() error {
	total, longest, end := uint64(0), uint32(0), uint32(0)
	err := r.read(bnobt, r.agf.Roots[0], r.agf.Levels[0], func(p []byte, at ondisk.Place) error {
		e := extent{be.Uint32(p), be.Uint32(p[4:])}
		if e.count == 0 || e.start < end || e.start >= r.size || e.count > r.size-e.start {
			return at.Corrupt("blocks %d+%d are out of order", e.start, e.count)
		}
		if e.start == end && end > 0 {
			return at.Corrupt("blocks %d+%d go on where others end", e.start, e.count)
		}
		end = e.end()
		total, longest = total+uint64(e.count), max(longest, e.count)
		r.avail = append(r.avail, e)
		return nil
	})
	if err == nil && (total != uint64(r.agf.FreeBlks) || longest != r.agf.Longest) {
		err = r.at("AGF").Corrupt("%d free blocks, %d together; the tree has %d and %d", r.agf.FreeBlks, r.agf.Longest, total, longest)
	}
	return err
}

// bySize compares the second tree of the free space with the first.
func (r *groupReader) bySize() error {
	want := bySize(r.avail)
	n := 0
	err := r.read(cntbt, r.agf.Roots[1], r.agf.Levels[1], func(p []byte, at ondisk.Place) error {
		e := extent{be.Uint32(p), be.Uint32(p[4:])}
		if n >= len(want) || want[n] != e {
			return at.Corrupt("blocks %d+%d are not what is free by block", e.start, e.count)
		}
		n++
		return nil
	})
	if err == nil && n < len(want) {
		err = r.at(cntbt.name).Corrupt("%d free extents, %d by block", n, len(want))
	}
	return err
}

func (r *groupReader) inodes() error {
	total, free, next := uint64(0), uint64(0), uint64(0)
	err := r.read(inobt, r.agi.Root, r.agi.Level, func(p []byte, at ondisk.Place) error {
		c, count, freeCount := r.v.decodeChunk(p)
		at = at.In("inode %d", c.start)
		last := (uint64(c.start) + chunkInodes - 1) >> r.v.inopBits
		switch {
		case uint64(c.start) < next || last >= uint64(r.size):
			return at.Corrupt("it is out of order")
		case c.start%min(chunkInodes, uint32(1)<<r.v.inopBits) != 0:
			return at.Corrupt("it is not at the start of a block")
		case count != c.count() || freeCount != c.freeCount():
			return at.Corrupt("%d of %d are free, the record says %d of %d", c.freeCount(), c.count(), freeCount, count)
		}
		next = uint64(c.start) + chunkInodes
		total, free = total+uint64(count), free+uint64(freeCount)
		r.chunks = append(r.chunks, c)
		return nil
	})
	if err == nil && (total != uint64(r.agi.Count) || free != uint64(r.agi.FreeCount)) {
		err = r.at("AGI").Corrupt("%d inodes, %d free; the tree has %d and %d", r.agi.Count, r.agi.FreeCount, total, free)
	}
	return err
}

// freeInodes compares the tree of chunks with free inodes with that of all.
func (r *groupReader) freeInodes() error {
	if !r.v.has(roCompat, frFinobt) {
		return nil
	}
	want := withFree(r.chunks)
	err := r.read(finobt, r.agi.FreeRoot, r.agi.FreeLevel, func(p []byte, at ondisk.Place) error {
		c, _, freeCount := r.v.decodeChunk(p)
		if len(want) == 0 || c != want[0] || freeCount != c.freeCount() {
			return at.Corrupt("inode %d: it is not as among all inodes", c.start)
		}
		want = want[1:]
		return nil
	})
	if err == nil && len(want) > 0 {
		err = r.at(finobt.name).Corrupt("inode %d is missing", want[0].start)
	}
	return err
}

// withFree are the chunks that have free inodes.
func withFree(list []chunk) []chunk {
	return slices.DeleteFunc(slices.Clone(list), func(c chunk) bool { return c.freeCount() == 0 })
}

func (r *groupReader) refcounts() error {
	if !r.v.has(roCompat, frReflink) {
		return nil
	}
	end := uint32(0)
	return r.read(refcountbt, r.agf.RefcountRoot, r.agf.RefcountLevel, func(p []byte, at ondisk.Place) error {
		c := decodeRefcount(p)
		e := extent{c.start &^ refcountCOW, c.count}
		switch {
		case c.start < end || e.start >= r.size || e.count == 0 || e.count > r.size-e.start:
			return at.Corrupt("blocks %d+%d are out of order", e.start, e.count)
		case c.isCOW() != (c.refs == 1) || c.refs == 0:
			return at.Corrupt("blocks %d+%d with %d references", e.start, e.count, c.refs)
		case r.avail.meets(e):
			return at.Corrupt("blocks %d+%d are shared and free", e.start, e.count)
		}
		end = c.end()
		r.shared = append(r.shared, c)
		return nil
	})
}

// headerBlocks hold the headers of the AG.
func (r *groupReader) headerBlocks() extent {
	return extent{0, uint32(ondisk.DivUp(4*r.v.sectorSize, r.v.blockSize))}
}

// logBlocks are those of the log, in the AG that has it.
func (r *groupReader) logBlocks() []extent {
	if ag, agbno := r.v.split(r.v.super.LogStart); uint32(ag) == r.num {
		return []extent{{agbno, r.v.super.LogBlocks}}
	}
	return nil
}

// metadata gathers the blocks that belong to no file. None has two uses or is free.
func (r *groupReader) metadata() error {
	list := append([]extent{r.headerBlocks()}, r.logBlocks()...)
	list = append(list, blockRuns(r.agfl)...)
	for _, t := range r.trees {
		list = append(list, blockRuns(t.blocks())...)
	}
	inodes, err := r.inodeBlocks()
	if err != nil {
		return err
	}
	ok := false
	if r.fixed, ok = setOf(append(list, inodes...)); !ok {
		return r.at("blocks").Corrupt("some have two uses as metadata")
	}
	for _, e := range r.fixed {
		if r.avail.meets(e) {
			return r.at("blocks").Corrupt("%d+%d are free and metadata", e.start, e.count)
		}
		if i := r.shared.search(e.start); i < len(r.shared) && r.shared[i].start < e.end() {
			return r.at("blocks").Corrupt("%d+%d are shared and metadata", e.start, e.count)
		}
	}
	return nil
}

// inodeBlocks are the blocks that hold inodes.
func (r *groupReader) inodeBlocks() (extents, error) {
	var out []extent
	for _, c := range r.chunks {
		list, ok := r.v.blocksOf(&c)
		if !ok {
			return nil, r.at(inobt.name).Corrupt("inode %d: a part of a block holds inodes", c.start)
		}
		for _, e := range list {
			if last := len(out) - 1; last < 0 || out[last] != e { // chunks can share a block
				out = append(out, e)
			}
		}
	}
	set, ok := setOf(out)
	if !ok {
		return nil, r.at(inobt.name).Corrupt("chunks overlap")
	}
	return set, nil
}

// counters compares what the headers count.
func (r *groupReader) counters() error {
	v := r.v
	count := func(kinds ...*treeKind) uint32 {
		n := 0
		for _, k := range kinds {
			if t := r.trees[k]; t != nil {
				n += t.shape.blocks()
			}
		}
		return uint32(n)
	}
	for _, x := range []struct {
		name      string
		kept      bool
		have, saw uint32
	}{
		{"blocks of trees", v.lazy(), r.agf.BtreeBlks, count(bnobt, cntbt, rmapbt) - v.freeTrees()},
		{"blocks of the reverse map", v.has(roCompat, frRmapbt), r.agf.RmapBlocks, count(rmapbt)},
		{"blocks of the reference counts", v.has(roCompat, frReflink), r.agf.RefcountBlocks, count(refcountbt)},
		{"blocks of inodes", v.has(roCompat, frInobtCount), r.agi.IBlocks, count(inobt)},
		{"blocks of free inodes", v.has(roCompat, frInobtCount) && v.has(roCompat, frFinobt), r.agi.FBlocks, count(finobt)},
	} {
		if x.kept && x.have != x.saw {
			return r.at("AG headers").Corrupt("%d %s, there are %d", x.have, x.name, x.saw)
		}
	}
	return nil
}

// lazy reports whether the groups count the blocks of their trees.
func (g *geometry) lazy() bool { return g.v5() || g.has(features2, f2LazySBCount) }

// freeTrees is the number of trees that the free space keeps.
func (g *geometry) freeTrees() uint32 {
	if g.has(roCompat, frRmapbt) {
		return 3
	}
	return 2
}
