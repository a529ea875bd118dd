package fat

import (
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// allocator gives out clusters. One that was in use when the session began is
// not given out again, so that all old content is whole until Commit.
type allocator struct {
	e     *editor
	used  bitmap // also what was freed in this session
	left  uint32 // clusters that can be given out
	free  uint32 // clusters that the table calls free
	first uint32 // none below is left
}

// alloc takes n clusters: together where there is such a place, else wherever
// there is one.
func (a *allocator) alloc(n uint32) ([]run, error) {
	if n > a.left {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).NoSpace("%d clusters needed, %d free", n, a.left)
	}
	if n == 0 {
		return nil, nil
	}
	runs := a.together(n)
	if runs == nil {
		runs = a.pieces(n)
	}
	var at int64
	for i := range runs {
		runs[i].at = at
		at = runs[i].end(a.e.v)
		a.take(runs[i])
	}
	return runs, nil
}

// scan calls f for each run of clusters that can be given out.
func (a *allocator) scan(f func(run) (more bool)) {
	end := a.e.v.clusters + 2
	for c := a.first; c < end; {
		if c%64 == 0 && a.used.full(c) {
			c += 64
			continue
		}
		if a.used.has(c) {
			c++
			continue
		}
		first := c
		for c < end && !a.used.has(c) {
			c++
		}
		if !f(run{first: first, n: c - first}) {
			return
		}
	}
}

func (a *allocator) together(n uint32) (found []run) {
	a.scan(func(r run) bool {
		if r.n >= n {
			r.n = n
			found = []run{r}
		}
		return found == nil
	})
	return found
}

func (a *allocator) pieces(n uint32) (found []run) {
	a.scan(func(r run) bool {
		r.n = min(r.n, n)
		n -= r.n
		found = append(found, r)
		return n > 0
	})
	return found
}

// take marks a run as given out.
func (a *allocator) take(r run) {
	first := a.first
	a.e.stage.Later(func() {
		for c := r.first; c < r.first+r.n; c++ {
			a.used.clear(c)
		}
		a.left, a.free, a.first = a.left+r.n, a.free+r.n, first
	})
	for c := r.first; c < r.first+r.n; c++ {
		a.used.set(c)
	}
	a.left, a.free = a.left-r.n, a.free-r.n
	if r.first == a.first {
		a.first += r.n
	}
}

// link writes a chain of runs into the tables, its end included.
func (e *editor) link(runs []run) error {
	for i, r := range runs {
		after := uint32(entryMask)
		if i+1 < len(runs) {
			after = runs[i+1].first
		}
		err := e.setEntries(r, func(c uint32) uint32 {
			if c+1 < r.first+r.n {
				return c + 1
			}
			return after
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// setEntry changes one entry of all tables.
func (e *editor) setEntry(n, value uint32) error {
	return e.setEntries(run{first: n, n: 1}, func(uint32) uint32 { return value })
}

// entryStep is how many entries are changed at once.
const entryStep = 4096

// setEntries changes the entries of a run in all tables.
func (e *editor) setEntries(r run, value func(c uint32) uint32) error {
	v := e.v
	for ; r.n > 0; r.first, r.n = r.first+min(r.n, entryStep), r.n-min(r.n, entryStep) {
		n := min(r.n, entryStep)
		base, _ := v.entryPlace(r.first)
		last, width := v.entryPlace(r.first + n - 1)
		raw := make([]byte, last+int64(width)-base)
		for table := range v.fats {
			at := v.tableOff(table) + base
			if err := e.read(raw, at); err != nil {
				return err
			}
			for c := r.first; c < r.first+n; c++ {
				off, _ := v.entryPlace(c)
				v.patchEntry(c, raw[off-base:], value(c))
			}
			if err := e.stage.Patch(at, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads staged bytes that may lie in two sectors, through the cache.
func (e *editor) read(p []byte, off int64) error {
	v := e.v
	for len(p) > 0 {
		raw, err := v.sectors(uint64(off>>v.sectorBits), readAhead>>v.sectorBits)
		if err != nil {
			return err
		}
		n := copy(p, raw[off&(v.sectorSize-1):])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// chainOf lists the clusters of a chain. The audit has found it sound.
func (e *editor) chainOf(start uint32) ([]uint32, error) {
	var list []uint32
	c := cursor{v: e.v}
	for n := start; n != 0; {
		if uint32(len(list)) >= e.v.clusters || !e.v.inVolume(n) {
			return nil, ondisk.At(layer, "FAT", e.v.fatOff).Corrupt("the chain of cluster %d does not end", start)
		}
		list = append(list, n)
		var err error
		if n, err = c.next(n); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// release frees a chain; 0 is none.
func (e *editor) release(start uint32) error {
	list, err := e.chainOf(start)
	if err != nil {
		return err
	}
	for i := 0; i < len(list); {
		r := run{first: list[i], n: 1}
		for i++; i < len(list) && list[i] == r.first+r.n; i++ {
			r.n++
		}
		if err := e.setEntries(r, func(uint32) uint32 { return entryFree }); err != nil {
			return err
		}
		e.forget(r)
	}
	n := uint32(len(list))
	e.alloc.free += n
	e.stage.Later(func() { e.alloc.free -= n })
	return nil
}

// forget drops what was staged for clusters that are free now.
func (e *editor) forget(r run) {
	first := uint64(e.v.clusterOff(r.first) >> e.v.sectorBits)
	for nr := range uint64(r.n) << (e.v.clusterBits - e.v.sectorBits) {
		e.stage.Drop(first + nr)
	}
}

// isFresh reports whether a sector lies in a cluster that was free when the
// session began.
func (e *editor) isFresh(nr uint64) bool {
	v := e.v
	off := int64(nr) << v.sectorBits
	if off < v.dataOff {
		return false
	}
	c := uint32((off-v.dataOff)>>v.clusterBits) + 2
	return v.inVolume(c) && !e.atStart.used.has(c)
}
