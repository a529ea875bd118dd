package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// space is what a transaction takes blocks and inodes from and gives them back to:
// the free space of the AGs, their inodes, and where the filesystem keeps them the
// reverse map and the reference counts. Changes are held as sorted slices, and are
// taken back with the operation that made them; finish builds the trees of the
// AGs that changed anew. Blocks that were given back are not given out again in
// the same transaction: content that is yet to be copied may still be read there.
type space struct {
	v      *volume // as staged
	stage  *stage.Stage
	groups map[uint32]*group // those that were needed so far
	room   int64             // bytes that records may still take
	last   uint32            // AG of the last allocation
	agfs   []agf             // as the transaction began; read when first needed
	agis   []agi

	// Of all AGs, once their headers were read.
	inodes   uint64 // there are now
	free     uint64 // blocks that are now, as the superblock counts them
	reserved uint64 // that the kernel keeps for trees
}

// owner is whom the reverse map calls the owner of blocks.
type owner struct {
	ino  uint64
	attr bool // of the attribute fork
	bmbt bool // a block of a fork's map, which has no place in the fork
}

// maxExtent is the number of blocks that one record of a map can have.
const maxExtent = 1<<21 - 1

// newSpace prepares the free space of v, whose blocks are read through st.
func newSpace(v *volume, st *stage.Stage) (*space, error) {
	return &space{v: v, stage: st, groups: map[uint32]*group{}, room: v.limits.Table}, nil
}

func errFull(what string) error {
	return ondisk.At(layer, "", ondisk.NoOffset).NoSpace("no free %s left", what)
}

// group reads an AG when it is first needed.
func (s *space) group(ag uint32) (*group, error) {
	if g := s.groups[ag]; g != nil {
		return g, nil
	}
	if err := s.survey(); err != nil {
		return nil, err
	}
	g, err := s.readGroup(ag)
	if err == nil {
		s.groups[ag] = g
	}
	return g, err
}

// survey reads the headers of all AGs.
func (s *space) survey() error {
	if s.agfs != nil {
		return nil
	}
	n := s.v.agCount
	agfs, agis := make([]agf, n), make([]agi, n)
	for ag := range n {
		var err error
		if agfs[ag], _, err = s.v.agf(ag); err != nil {
			return err
		}
		if agis[ag], _, err = s.v.agi(ag); err != nil {
			return err
		}
	}
	for ag := range n {
		f, i := &agfs[ag], &agis[ag]
		s.inodes += uint64(i.Count)
		s.free += uint64(f.FreeBlks) + uint64(f.FLCount) + uint64(f.BtreeBlks)
		s.reserved += s.v.reservation(ag, f, i) + 2*setAside
	}
	s.agfs, s.agis = agfs, agis
	return nil
}

// stageBlock is the number that a block has on the stage, where those of all AGs
// follow each other.
func (s *space) stageBlock(ag, agbno uint32) uint64 {
	return uint64(s.v.byteOff(s.v.fsblock(ag, agbno))) >> s.v.blockBits
}

// allocate takes count blocks for what lies at logical of the owner's fork, in as
// few runs as there are; a run lies in one AG and fits one record of a map. It is
// all of them or ondisk.ErrNoSpace: what finish will need is never given out.
func (s *space) allocate(o owner, logical, count uint64) ([]run, error) {
	if err := s.survey(); err != nil {
		return nil, err
	}
	if !s.spare(count) {
		return nil, errFull("blocks")
	}
	var out []run
	for count > 0 {
		want := uint32(min(count, maxExtent))
		g, err := s.roomiest(want)
		if err != nil {
			return nil, err
		}
		e := g.find(uint32(min(uint64(want), s.usable(g))))
		if g.fixed.meets(e) {
			return nil, g.at(bnobt.name).Corrupt("blocks %d+%d hold metadata", e.start, e.count)
		}
		s.take(g, e)
		if s.v.has(roCompat, frRmapbt) {
			g.rmaps.include(s.stage, rmapOf(o, logical, e))
		}
		assign(s.stage, &s.last, g.num)
		out = append(out, run{logical: logical, phys: s.v.fsblock(g.num, e.start), count: uint64(e.count)})
		logical, count = logical+uint64(e.count), count-uint64(e.count)
	}
	return out, nil
}

// take makes blocks of a group used.
func (s *space) take(g *group, e extent) {
	g.avail.exclude(s.stage, e)
	g.taken.include(s.stage, e)
	assign(s.stage, &g.left, g.left-uint64(e.count))
	assign(s.stage, &s.free, s.free-uint64(e.count))
	assign(s.stage, &g.next, e.end())
	assign(s.stage, &g.spaceChanged, true)
}

// release gives back a run of an owner. Blocks that other files share lose one
// reference. Staged changes of blocks that become free are forgotten.
func (s *space) release(o owner, r run) error {
	at := ondisk.At(layer, "blocks", ondisk.NoOffset).In("%#x+%d of inode %d", r.phys, r.count, o.ino)
	if r.kind == runHole || r.count == 0 || !s.v.extentOK(r.phys, r.count) {
		return at.Corrupt("they are not there")
	}
	ag, agbno := s.v.split(r.phys)
	g, err := s.group(uint32(ag))
	if err != nil {
		return err
	}
	e := extent{agbno, uint32(r.count)}
	switch {
	case g.avail.meets(e) || g.freed.meets(e):
		return at.Corrupt("they are free")
	case g.fixed.meets(e):
		return at.Corrupt("they hold metadata")
	case g.shared.cowMeets(e):
		return at.Corrupt("they belong to a copy that was never finished")
	}
	if s.v.has(roCompat, frRmapbt) && !g.rmaps.exclude(s.stage, rmapOf(o, r.logical, e)) {
		return at.Corrupt("the reverse map says otherwise")
	}
	gone := g.shared.drop(s.stage, e)
	if gone.blocks() < r.count {
		assign(s.stage, &g.sharedChanged, true)
	}
	for _, part := range gone {
		s.giveBack(g, part)
	}
	assign(s.stage, &g.spaceChanged, true)
	return s.fits(g)
}

// giveBack makes blocks of a group free: those that were when the transaction began
// can be taken again.
func (s *space) giveBack(g *group, e extent) {
	assign(s.stage, &s.free, s.free+uint64(e.count))
	for i := range e.count {
		s.stage.Drop(s.stageBlock(g.num, e.start+i))
	}
	for _, part := range g.taken.outside(e) {
		g.freed.include(s.stage, part)
	}
	for _, part := range g.taken.within(e) {
		g.taken.exclude(s.stage, part)
		g.avail.include(s.stage, part)
		assign(s.stage, &g.left, g.left+uint64(part.count))
	}
}
