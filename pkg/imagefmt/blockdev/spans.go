package blockdev

import (
	"cmp"
	"slices"
)

// span is a range of bytes, end excluded.
type span struct{ off, end int64 }

// spanSet is a set of bytes: spans that ascend and neither overlap nor touch.
type spanSet []span

// next is the first span that ends after off: the one that holds off, or else
// the one that follows it.
func (s spanSet) next(off int64) (span, bool) {
	i, _ := slices.BinarySearchFunc(s, off, func(x span, off int64) int { return cmp.Compare(x.end, off+1) })
	if i == len(s) {
		return span{}, false
	}
	return s[i], true
}

// add puts x, which is not empty, into the set. It returns the set and how many
// bytes are new in it. A set that holds all of x already is not touched.
func (s spanSet) add(x span) (spanSet, int64) {
	from, _ := slices.BinarySearchFunc(s, x.off, func(y span, off int64) int { return cmp.Compare(y.end, off) })
	to := from
	grown := x.end - x.off
	merged := x
	for to < len(s) && s[to].off <= x.end {
		y := s[to]
		grown -= max(0, min(x.end, y.end)-max(x.off, y.off))
		merged = span{min(merged.off, y.off), max(merged.end, y.end)}
		to++
	}
	if grown == 0 {
		return s, 0
	}
	return slices.Replace(s, from, to, merged), grown
}
