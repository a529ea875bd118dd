package xfs

import (
	"slices"
	"sort"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

// extent is a run of blocks of one AG.
type extent struct{ start, count uint32 }

func (x extent) end() uint32 { return x.start + x.count }

// extents are a set of blocks of one AG: runs in ascending order, none of which
// touches the next.
type extents []extent

// search finds the first run that ends after block nr.
func (x extents) search(nr uint32) int {
	return sort.Search(len(x), func(i int) bool { return x[i].end() > nr })
}

// meets reports whether a block of e is in the set.
func (x extents) meets(e extent) bool {
	i := x.search(e.start)
	return i < len(x) && x[i].start < e.end()
}

// within are the parts of e that are in the set.
func (x extents) within(e extent) extents {
	var out extents
	for i := x.search(e.start); i < len(x) && x[i].start < e.end(); i++ {
		lo, hi := max(x[i].start, e.start), min(x[i].end(), e.end())
		out = append(out, extent{lo, hi - lo})
	}
	return out
}

// outside are the parts of e that are not in the set.
func (x extents) outside(e extent) extents {
	var out extents
	next := e.start
	for _, part := range x.within(e) {
		if part.start > next {
			out = append(out, extent{next, part.start - next})
		}
		next = part.end()
	}
	if next < e.end() {
		out = append(out, extent{next, e.end() - next})
	}
	return out
}

func (x extents) blocks() uint64 {
	n := uint64(0)
	for _, e := range x {
		n += uint64(e.count)
	}
	return n
}

// largest is the first of the longest runs; its index is -1 when there is none.
func (x extents) largest() (int, extent) {
	at, best := -1, extent{}
	for i, e := range x {
		if e.count > best.count {
			at, best = i, e
		}
	}
	return at, best
}

// setOf makes a set of runs in any order; false when they overlap.
func setOf(list []extent) (extents, bool) {
	slices.SortFunc(list, func(a, b extent) int { return int(int64(a.start) - int64(b.start)) })
	out := make(extents, 0, len(list))
	for _, e := range list {
		last := len(out) - 1
		switch {
		case last < 0 || out[last].end() < e.start:
			out = append(out, e)
		case out[last].end() == e.start:
			out[last].count += e.count
		default:
			return nil, false
		}
	}
	return out, true
}

// minus is the set without the blocks of another.
func (x extents) minus(y extents) extents {
	out := make(extents, 0, len(x))
	for _, e := range x {
		out = append(out, y.outside(e)...)
	}
	return out
}

// blockRuns are single blocks as a list for setOf.
func blockRuns(nrs ...[]uint32) []extent {
	var out []extent
	for _, list := range nrs {
		for _, nr := range list {
			out = append(out, extent{nr, 1})
		}
	}
	return out
}

// splice replaces (*s)[i:j], until the operation turns out to fail.
func splice[S ~[]T, T any](st *stage.Stage, s *S, i, j int, with ...T) {
	old, n := slices.Clone((*s)[i:j]), len(with)
	*s = slices.Replace(*s, i, j, with...)
	st.Later(func() { *s = slices.Replace(*s, i, i+n, old...) })
}

// assign sets a variable, until the operation turns out to fail.
func assign[T any](st *stage.Stage, p *T, v T) {
	old := *p
	*p = v
	st.Later(func() { *p = old })
}

// include adds a run that is not in the set.
func (x *extents) include(st *stage.Stage, e extent) {
	i := x.search(e.start)
	j := i
	if i > 0 && (*x)[i-1].end() == e.start {
		i--
		e = extent{(*x)[i].start, (*x)[i].count + e.count}
	}
	if j < len(*x) && (*x)[j].start == e.end() {
		e.count += (*x)[j].count
		j++
	}
	splice(st, x, i, j, e)
}

// exclude takes out a run that is wholly in the set.
func (x *extents) exclude(st *stage.Stage, e extent) {
	i := x.search(e.start)
	old := (*x)[i]
	var rest []extent
	if old.start < e.start {
		rest = append(rest, extent{old.start, e.start - old.start})
	}
	if e.end() < old.end() {
		rest = append(rest, extent{e.end(), old.end() - e.end()})
	}
	splice(st, x, i, i+1, rest...)
}
