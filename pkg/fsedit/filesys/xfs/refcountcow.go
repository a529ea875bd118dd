package xfs

// A copy on write takes blocks ahead of the data, which only the trees of the AG
// know of. Those that a stop of the machine left are given back by the kernel when
// it recovers the log, and by nobody after.

// unfinishedCopies reports whether an AG has such blocks.
func (v *volume) unfinishedCopies() (bool, error) {
	for ag := range v.agCount {
		if left, err := v.hasCopies(ag); left || err != nil {
			return left, err
		}
	}
	return false, nil
}

// hasCopies looks at one AG: their records are the last of its tree.
func (v *volume) hasCopies(ag uint32) (bool, error) {
	if !v.has(roCompat, frReflink) {
		return false, nil
	}
	f, _, err := v.agf(ag)
	if err != nil {
		return false, err
	}
	last, err := v.lastRefcount(ag, f)
	return last.isCOW(), err
}

// lastRefcount is the last record of an AG; empty when there is none.
func (v *volume) lastRefcount(ag uint32, f agf) (refcount, error) {
	t := agTree{v: v, ag: ag, kind: refcountbt, left: btreeMaxLevels}
	agbno := f.RefcountRoot
	for level := int(f.RefcountLevel) - 1; level >= 0; level-- {
		p, at, err := t.block(agbno, level)
		if err != nil {
			return refcount{}, err
		}
		body, count, room := p[v.shortHeader():], int(be.Uint16(p[6:])), refcountbt.room(&v.geometry, level)
		switch {
		case count > room || count == 0 && level > 0:
			return refcount{}, at.Corrupt("%d of %d entries", count, room)
		case level > 0:
			agbno = be.Uint32(body[room*refcountbt.key+(count-1)*agPtrSize:])
		case count > 0:
			return decodeRefcount(body[(count-1)*refcountbt.record:]), nil
		}
	}
	return refcount{}, nil
}

// dropCopies gives the blocks of unfinished copies back.
func (s *space) dropCopies() error {
	for ag := range s.v.agCount {
		left, err := s.v.hasCopies(ag)
		if err != nil {
			return err
		}
		if !left {
			continue
		}
		g, err := s.group(ag)
		if err != nil {
			return err
		}
		if err := s.dropCopiesOf(g); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) dropCopiesOf(g *group) error {
	n := len(g.shared)
	for n > 0 && g.shared[n-1].isCOW() {
		n--
	}
	for _, c := range g.shared[n:] {
		e := extent{c.start &^ refcountCOW, c.count}
		at := g.at(refcountbt.name).In("blocks %d+%d", e.start, e.count)
		if g.avail.meets(e) || g.freed.meets(e) || g.fixed.meets(e) {
			return at.Corrupt("they belong to a copy, and to something else")
		}
		if s.v.has(roCompat, frRmapbt) && !g.rmaps.exclude(s.stage, rmap{start: e.start, count: e.count, owner: ownCOW}) {
			return at.Corrupt("the reverse map says otherwise")
		}
		s.giveBack(g, e)
	}
	splice(s.stage, &g.shared, n, len(g.shared))
	assign(s.stage, &g.sharedChanged, true)
	assign(s.stage, &g.spaceChanged, true)
	return s.fits(g)
}
