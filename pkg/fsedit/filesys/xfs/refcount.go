package xfs

import (
	"sort"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

// refcount says how many files share blocks of an AG. Those of one file only have
// none.
type refcount struct{ start, count, refs uint32 }

const (
	refcountCOW = 1 << 31 // in start: what a copy that a crash cut short had taken
	refcountMax = 1<<32 - 1
)

func decodeRefcount(p []byte) refcount {
	return refcount{be.Uint32(p), be.Uint32(p[4:]), be.Uint32(p[8:])}
}

func (r refcount) append(p []byte) []byte {
	p = be.AppendUint32(p, r.start)
	p = be.AppendUint32(p, r.count)
	return be.AppendUint32(p, r.refs)
}

func (r refcount) end() uint32 { return r.start + r.count }

func (r refcount) isCOW() bool { return r.start&refcountCOW != 0 }

// refcounts are records in ascending order, those of COW last.
type refcounts []refcount

// search finds the first record that ends after block nr.
func (c refcounts) search(nr uint32) int {
	return sort.Search(len(c), func(i int) bool { return c[i].end() > nr })
}

// drop takes a reference from all blocks of e that are shared. The others have lost
// their only one: these are returned.
func (c *refcounts) drop(st *stage.Stage, e extent) extents {
	first := c.search(e.start)
	var gone extents
	var kept refcounts
	next, last := e.start, first
	for ; last < len(*c) && (*c)[last].start < e.end(); last++ {
		r := (*c)[last]
		lo, hi := max(r.start, e.start), min(r.end(), e.end())
		if lo > next {
			gone = append(gone, extent{next, lo - next})
		}
		next = hi
		kept = kept.join(refcount{r.start, lo - r.start, r.refs})
		refs := r.refs
		if refs != refcountMax { // which counts no more
			refs--
		}
		if refs > 1 {
			kept = kept.join(refcount{lo, hi - lo, refs})
		}
		kept = kept.join(refcount{hi, r.end() - hi, r.refs})
	}
	if next < e.end() {
		gone = append(gone, extent{next, e.end() - next})
	}
	if last > first {
		c.replace(st, first, last, kept)
	}
	return gone
}

// replace puts records in the place of others, and merges them with those around.
func (c *refcounts) replace(st *stage.Stage, first, last int, with refcounts) {
	var all refcounts
	if first > 0 {
		first--
		all = all.join((*c)[first])
	}
	for _, r := range with {
		all = all.join(r)
	}
	if last < len(*c) {
		all = all.join((*c)[last])
		last++
	}
	splice(st, c, first, last, all...)
}

// merged are the records with neighbours that agree as one.
func (c refcounts) merged() refcounts {
	var out refcounts
	for _, r := range c {
		out = out.join(r)
	}
	return out
}

// join appends a record, which may be empty or go on where the last one ends.
func (c refcounts) join(r refcount) refcounts {
	if r.count == 0 {
		return c
	}
	if last := len(c) - 1; last >= 0 && c[last].end() == r.start && c[last].refs == r.refs {
		c[last].count += r.count
		return c
	}
	return append(c, r)
}

// cowMeets reports whether a block of e is in a copy that was never finished.
func (c refcounts) cowMeets(e extent) bool {
	i := c.search(e.start | refcountCOW)
	return i < len(c) && c[i].start < e.end()|refcountCOW
}
