package xfs

import (
	"cmp"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// finish stages the trees and headers of the AGs that changed, and the counters of
// the superblock. Nothing may be allocated after it.
func (s *space) finish() error {
	for _, ag := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[ag]
		if !g.changed() {
			continue
		}
		if err := s.finishGroup(g); err != nil {
			return err
		}
	}
	return s.finishSuper()
}

func (s *space) finishGroup(g *group) error {
	l, err := s.layOut(g)
	if err != nil {
		return err
	}
	w := groupWriter{s: s, v: s.v, g: g, l: l}
	if err := w.trees(); err != nil {
		return err
	}
	if g.inodesChanged {
		if err := w.agi(); err != nil {
			return err
		}
	}
	if !l.spaceChanged {
		return nil
	}
	if err := w.agfl(); err != nil {
		return err
	}
	return w.agf()
}

// groupWriter stages the new metadata of an AG.
type groupWriter struct {
	s *space
	v *volume
	g *group
	l *agLayout
}

// trees builds those that change.
func (w *groupWriter) trees() error {
	for _, t := range w.l.plans {
		if err := t.build(w.v, w.g.num, w.records(t.kind), func(agbno uint32, raw []byte) {
			w.s.stage.Put(w.s.stageBlock(w.g.num, agbno), raw)
		}); err != nil {
			return err
		}
	}
	return nil
}

// records are those of a tree, in its order.
func (w *groupWriter) records(k *treeKind) []byte {
	var out []byte
	switch k {
	case bnobt, cntbt:
		list := w.l.free
		if k == cntbt {
			list = bySize(list)
		}
		for _, e := range list {
			out = be.AppendUint32(be.AppendUint32(out, e.start), e.count)
		}
	case inobt, finobt:
		for i := range w.g.chunks {
			if c := &w.g.chunks[i]; k == inobt || c.freeCount() > 0 {
				out = w.v.appendChunk(out, c)
			}
		}
	case refcountbt:
		for _, c := range w.g.shared {
			out = c.append(out)
		}
	case rmapbt:
		all := slices.Clone(w.g.rmaps)
		for owner, set := range w.l.own {
			for _, e := range set {
				all = append(all, rmap{start: e.start, count: e.count, owner: owner})
			}
		}
		return encodeRmaps(all)
	}
	return out
}

// bySize are extents in the order of the second tree.
func bySize(list extents) extents {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.start, b.start))
	})
	return out
}

// header patches a sector of the AG.
func (w *groupWriter) header(sector int64, name string, patch func(raw []byte)) error {
	raw, _, err := w.v.agHeader(w.g.num, sector, name)
	if err != nil {
		return err
	}
	patch(raw)
	if st, ok := stampOf(raw); ok && w.v.v5() {
		st.seal(raw)
	}
	return w.s.stage.Patch(w.v.agSector(w.g.num, sector), raw)
}

// Offsets in the headers that are patched.
const (
	agfRoots          = 16
	agfLevels         = 28
	agfFLFirst        = 40
	agfFLLast         = 44
	agfFLCount        = 48
	agfFreeBlks       = 52
	agfLongest        = 56
	agfBtreeBlks      = 60
	agfRmapBlocks     = 80
	agfRefcountBlocks = 84
	agfRefcountRoot   = 88
	agfRefcountLevel  = 92

	agiCount     = 16
	agiRoot      = 20
	agiLevel     = 24
	agiFreeCount = 28
	agiFreeRoot  = 328
	agiFreeLevel = 332
	agiIBlocks   = 336
	agiFBlocks   = 340
)

func (w *groupWriter) agf() error {
	_, longest := w.l.free.largest()
	return w.header(agfSector, "AGF", func(raw []byte) {
		btree := -int(w.v.freeTrees())
		for i, k := range []*treeKind{bnobt, cntbt, rmapbt} {
			if t := w.l.tree(w.g, k); t != nil {
				root, levels := t.root()
				be.PutUint32(raw[agfRoots+i*4:], root)
				be.PutUint32(raw[agfLevels+i*4:], levels)
				btree += t.shape.blocks()
			}
		}
		be.PutUint32(raw[agfBtreeBlks:], uint32(btree))
		be.PutUint32(raw[agfFreeBlks:], uint32(w.l.free.blocks()))
		be.PutUint32(raw[agfLongest:], longest.count)
		if t := w.l.tree(w.g, rmapbt); t != nil {
			be.PutUint32(raw[agfRmapBlocks:], uint32(t.shape.blocks()))
		}
		if t := w.l.tree(w.g, refcountbt); t != nil {
			root, levels := t.root()
			be.PutUint32(raw[agfRefcountRoot:], root)
			be.PutUint32(raw[agfRefcountLevel:], levels)
			be.PutUint32(raw[agfRefcountBlocks:], uint32(t.shape.blocks()))
		}
		w.freeList(raw)
	})
}

// freeList patches the ends of the ring in the AGF.
func (w *groupWriter) freeList(raw []byte) {
	slots, count := w.v.freeListSlots(), uint32(len(w.g.agfl)+len(w.l.refill))
	if w.l.dropList {
		count = uint32(len(w.l.refill))
	}
	if count == w.g.agf.FLCount {
		return
	}
	be.PutUint32(raw[agfFLCount:], count)
	be.PutUint32(raw[agfFLLast:], (w.g.agf.FLFirst+count+slots-1)%slots)
}

// freeListSlots is the size of the ring.
func (g *geometry) freeListSlots() uint32 {
	if g.v5() {
		return uint32(g.sectorSize-agflHeader5) / 4
	}
	return uint32(g.sectorSize) / 4
}

// agfl appends blocks to the ring.
func (w *groupWriter) agfl() error {
	if len(w.l.refill) == 0 {
		return nil
	}
	return w.header(agflSector, "AGFL", func(raw []byte) {
		slots, at := raw, w.g.agf.FLFirst
		if w.v.v5() {
			slots = raw[agflHeader5:]
		}
		if !w.l.dropList {
			at += w.g.agf.FLCount
		}
		for i, nr := range w.l.refill {
			be.PutUint32(slots[(at+uint32(i))%w.v.freeListSlots()*4:], nr)
		}
	})
}

func (w *groupWriter) agi() error {
	total, free := uint32(0), uint32(0)
	for i := range w.g.chunks {
		total += w.g.chunks[i].count()
		free += w.g.chunks[i].freeCount()
	}
	return w.header(agiSector, "AGI", func(raw []byte) {
		be.PutUint32(raw[agiCount:], total)
		be.PutUint32(raw[agiFreeCount:], free)
		t := w.l.tree(w.g, inobt)
		root, levels := t.root()
		be.PutUint32(raw[agiRoot:], root)
		be.PutUint32(raw[agiLevel:], levels)
		counted := w.v.has(roCompat, frInobtCount)
		if counted {
			be.PutUint32(raw[agiIBlocks:], uint32(t.shape.blocks()))
		}
		if t := w.l.tree(w.g, finobt); t != nil {
			root, levels := t.root()
			be.PutUint32(raw[agiFreeRoot:], root)
			be.PutUint32(raw[agiFreeLevel:], levels)
			if counted {
				be.PutUint32(raw[agiFBlocks:], uint32(t.shape.blocks()))
			}
		}
	})
}

// Flags of quotas in the superblock.
const (
	sbQFlags       = 176
	quotaAccounted = 0x1 | 0x8 | 0x40          // of users, projects, groups
	quotaChecked   = 0x4 | 0x20 | 0x80 | 0x400 // the last three of one or both of these
)

// finishSuper stages the sums of the AGs' counters. Where quotas are kept their
// counters are wrong now, and the superblock asks the kernel to count anew.
func (s *space) finishSuper() error {
	if s.stage.Len() == 0 {
		return nil
	}
	c, err := s.v.counts()
	if err != nil {
		return err
	}
	raw, err := ondisk.Bytes(s.stage, 0, s.v.sectorSize)
	if err != nil {
		return err
	}
	be.PutUint64(raw[sbICount:], c.inodes)
	be.PutUint64(raw[sbIFree:], c.freeInodes)
	be.PutUint64(raw[sbFDBlocks:], c.freeBlocks)
	if flags := be.Uint16(raw[sbQFlags:]); s.v.has(versionBits, fvQuota) && flags&quotaAccounted != 0 {
		be.PutUint16(raw[sbQFlags:], flags&^quotaChecked)
	}
	sealSuper(raw)
	return s.stage.Patch(0, raw)
}
