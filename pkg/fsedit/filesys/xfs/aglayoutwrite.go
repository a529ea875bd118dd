package xfs

import "slices"

// agLayout is what a group will look like: which trees are built, on which blocks,
// and what is free then.
type agLayout struct {
	plans        []*treePlan
	free         extents
	own          map[uint64]extents // blocks of trees and AGFL, by their owner
	refill       []uint32           // of the AGFL
	dropList     bool               // the AGFL had to be given up
	spaceChanged bool
}

// tree is a tree as it will be.
func (l *agLayout) tree(g *group, k *treeKind) *treePlan {
	for _, t := range l.plans {
		if t.kind == k {
			return t
		}
	}
	return g.trees[k]
}

// moving are the trees that were planned, and do not keep their blocks.
func (l *agLayout) moving() []*treePlan {
	return slices.DeleteFunc(slices.Clone(l.plans), func(t *treePlan) bool { return t.inPlace })
}

// layOut plans the trees of a group. They are built on blocks that were free when
// the transaction began; only a group that has too few of these has its trees
// built over the old ones, packed tighter, and at last without its AGFL.
func (s *space) layOut(g *group) (*agLayout, error) {
	for _, try := range []attempt{
		{fill: fillRoomy}, {fill: fillTight}, {fill: fillTight, reuse: true}, {fill: fillTight, reuse: true, dropList: true},
	} {
		try.s, try.g = s, g
		if l := try.layOut(); l != nil {
			return l, nil
		}
	}
	return nil, errFull("blocks for the trees of a group")
}

// attempt is one way to find blocks for new trees.
type attempt struct {
	s        *space
	g        *group
	fill     filling
	reuse    bool // of the blocks of old trees
	dropList bool // of those of the AGFL, too
}

// layOut returns nil when there are not enough blocks.
func (a *attempt) layOut() *agLayout {
	g := a.g
	l := &agLayout{spaceChanged: g.spaceChanged || g.sharedChanged, dropList: a.dropList}
	if g.inodesChanged { // in place if it can be, so that all other trees stay
		a.plan(l, inobt, len(g.chunks), true)
		a.plan(l, finobt, len(withFree(g.chunks)), true)
	}
	if g.sharedChanged {
		a.plan(l, refcountbt, len(g.shared), false)
	}
	if l.spaceChanged && !a.spaceTrees(l) {
		return nil
	}
	return l
}

// plan adds a tree whose records do not depend on where trees lie.
func (a *attempt) plan(l *agLayout, kind *treeKind, n int, stay bool) {
	geo, old := &a.s.v.geometry, a.g.trees[kind]
	if old == nil {
		return
	}
	if shape, ok := kind.reshape(geo, old.shape, n); ok && stay {
		l.plans = append(l.plans, &treePlan{kind: kind, shape: shape, places: old.places, inPlace: true})
		return
	}
	l.plans = append(l.plans, &treePlan{kind: kind, shape: kind.shape(geo, n, a.fill)})
	l.spaceChanged = true
}

// spaceTrees finds blocks for all trees that need some. How many the trees of the
// free space and the reverse map need depends on which blocks these are; more and
// more are tried until they suffice, and the AGFL takes what is too much.
func (a *attempt) spaceTrees(l *agLayout) bool {
	moving, known := l.moving(), 0
	for _, t := range moving {
		known += t.shape.blocks()
	}
	pool, base := a.pool(l)
	for need := 0; ; {
		blocks, ok := pick(pool, known+need)
		if !ok {
			return false
		}
		set, _ := setOf(blockRuns(blocks))
		l.free = base.minus(set)
		rest := blocks
		for _, t := range moving {
			rest = t.place(rest)
		}
		trees, want := a.spaceShapes(l, rest)
		if want > need {
			need = want
			continue
		}
		for _, t := range trees {
			rest = t.place(rest)
		}
		l.plans, l.refill = append(l.plans, trees...), rest
		return len(rest)+len(a.g.agfl) <= int(a.s.v.freeListSlots())
	}
}

// spaceShapes plans the trees of the free space and the reverse map that have the
// given blocks, and says how many they and the AGFL want.
func (a *attempt) spaceShapes(l *agLayout, blocks []uint32) (trees []*treePlan, want int) {
	add := func(kind *treeKind, n int) {
		trees = append(trees, &treePlan{kind: kind, shape: kind.shape(&a.s.v.geometry, n, a.fill)})
	}
	add(bnobt, len(l.free))
	add(cntbt, len(l.free))
	if a.g.trees[rmapbt] != nil {
		add(rmapbt, len(a.g.rmaps)+a.ownExtents(l, blocks))
	}
	levels := 0
	for _, t := range trees {
		want += t.shape.blocks()
		levels += len(t.shape)
	}
	return trees, want + a.refill(levels)
}

// refill is how many blocks the AGFL lacks for trees of so many levels.
func (a *attempt) refill(levels int) int {
	if a.fill == fillTight {
		return 0
	}
	return max(0, 2*levels-len(a.g.agfl))
}

// pool is where the blocks of new trees come from, and base all that will be free
// but for these.
func (a *attempt) pool(l *agLayout) (pool, base extents) {
	g := a.g
	var old []extent
	for kind, t := range g.trees {
		if p := l.tree(g, kind); g.rebuilds(kind) && !p.inPlace {
			old = append(old, blockRuns(t.blocks())...)
		}
	}
	if a.dropList {
		old = append(old, blockRuns(g.agfl)...)
	}
	base, _ = setOf(slices.Concat(old, g.avail, g.freed))
	if !a.reuse {
		return g.avail, base
	}
	pool, _ = setOf(slices.Concat(old, g.avail))
	return pool, base
}

// pick chooses n blocks: the start of the shortest run that has so many, or else
// those of the longest ones.
func pick(pool extents, n int) ([]uint32, bool) {
	var out []uint32
	var best extent
	for _, e := range pool {
		if int(e.count) >= n && (best.count == 0 || e.count < best.count) {
			best = e
		}
	}
	from := extents{best}
	if best.count == 0 {
		from = bySize(pool)
		slices.Reverse(from)
	}
	for _, e := range from {
		for nr := e.start; nr < e.end() && len(out) < n; nr++ {
			out = append(out, nr)
		}
	}
	slices.Sort(out)
	return out, len(out) == n
}

// ownExtents gathers what metadata owns when the trees of the free space and the
// AGFL have the given blocks, and counts its records.
func (a *attempt) ownExtents(l *agLayout, space []uint32) int {
	g := a.g
	list := map[uint64][]extent{ownAG: blockRuns(space)}
	if !a.dropList {
		list[ownAG] = append(list[ownAG], blockRuns(g.agfl)...)
	}
	for kind, owner := range map[*treeKind]uint64{inobt: ownInobt, finobt: ownInobt, refcountbt: ownRefc} {
		if t := l.tree(g, kind); t != nil {
			list[owner] = append(list[owner], blockRuns(t.blocks())...)
		}
	}
	l.own = map[uint64]extents{}
	n := 0
	for owner, runs := range list {
		l.own[owner], _ = setOf(runs)
		n += len(l.own[owner])
	}
	return n
}
