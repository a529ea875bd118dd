package xfs

import (
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// extentList is packed extents in ascending order: those in an inode, or in one
// leaf of a map. lo and hi bound the blocks that its place allows it.
type extentList struct {
	raw    []byte
	lo, hi uint64
}

// decodeExtent unpacks 128 bits: 1 unwritten, 54 logical, 52 fsblock, 21 count.
func decodeExtent(p []byte) run {
	a, b := be.Uint64(p), be.Uint64(p[8:])
	r := run{logical: a >> 9 & (1<<54 - 1), phys: a&(1<<9-1)<<43 | b>>21, count: b & (1<<21 - 1)}
	if a>>63 != 0 {
		r.kind = runUnwritten
	}
	return r
}

func (l *extentList) len() int     { return len(l.raw) / bmbtRecSize }
func (l *extentList) at(i int) run { return decodeExtent(l.raw[i*bmbtRecSize:]) }
func (l *extentList) key(i int) uint64 {
	return be.Uint64(l.raw[i*bmbtRecSize:]) >> 9 & (1<<54 - 1)
}

// verify checks that extents follow each other and lie in the filesystem.
func (l *extentList) verify(v *volume, at ondisk.Place) error {
	next := l.lo
	for i := range l.len() {
		r := l.at(i)
		if r.logical < next || r.count == 0 || r.end() > l.hi {
			return at.Corrupt("extent %d: blocks %d+%d are out of order", i, r.logical, r.count)
		}
		if !v.extentOK(r.phys, r.count) {
			return at.Corrupt("extent %d: blocks %#x+%d are outside the filesystem", i, r.phys, r.count)
		}
		next = r.end()
	}
	return nil
}

// find looks up a block between lo and hi.
func (l *extentList) find(logical uint64) (run, error) {
	if logical >= l.hi {
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "block %d is beyond the largest file", logical)
	}
	i := sort.Search(l.len(), func(i int) bool { return l.key(i) > logical })
	hole := run{logical: l.lo, kind: runHole}
	if i > 0 {
		r := l.at(i - 1)
		if logical < r.end() {
			return r, nil
		}
		hole.logical = r.end()
	}
	end := l.hi
	if i < l.len() {
		end = l.key(i)
	}
	hole.count = end - hole.logical
	return hole, nil
}
