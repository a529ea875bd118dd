package vmdk

import (
	"math"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// claim is a range of a file that something uses.
type claim struct{ off, n int64 }

func (c claim) end() int64 { return c.off + c.n }

// claims are ranges of one file, sorted by check.
type claims []claim

// whole claims a file from its beginning to whatever end.
var whole = claims{{0, math.MaxInt64}}

// check sorts the claims and refuses two that share a byte.
func (c claims) check() error {
	slices.SortFunc(c, func(a, b claim) int {
		switch {
		case a.off < b.off:
			return -1
		case a.off > b.off:
			return 1
		}
		return 0
	})
	for i := 1; i < len(c); i++ {
		if c[i].off < c[i-1].end() {
			return ondisk.Because(ondisk.ErrCorrupt, "two parts of the disk lie at byte %#x of the same file", c[i].off)
		}
	}
	return nil
}

// touches reports whether the n bytes from off are claimed, all or in part. The
// claims are sorted and do not overlap.
func (c claims) touches(off, n int64) bool {
	i, _ := slices.BinarySearchFunc(c, off, func(x claim, off int64) int {
		if x.end() <= off {
			return -1
		}
		return 1
	})
	return i < len(c) && c[i].off < off+n
}
