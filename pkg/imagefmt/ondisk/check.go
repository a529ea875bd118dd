package ondisk

import (
	"bytes"
	"math"
)

// AddOK returns a+b and whether it neither overflowed nor had a negative term.
func AddOK(a, b int64) (int64, bool) {
	if a < 0 || b < 0 || a > math.MaxInt64-b {
		return 0, false
	}
	return a + b, true
}

// MulOK returns a*b and whether it neither overflowed nor had a negative term.
func MulOK(a, b int64) (int64, bool) {
	if a < 0 || b < 0 || (b != 0 && a > math.MaxInt64/b) {
		return 0, false
	}
	return a * b, true
}

// InRange reports whether the n bytes from off lie inside [0, size).
func InRange(off, n, size int64) bool {
	return off >= 0 && n >= 0 && size >= 0 && off <= size && n <= size-off
}

// AlignDown rounds x down to a multiple of align, a positive number.
func AlignDown(x, align int64) int64 { return x - x%align }

// AlignUp rounds x up to a multiple of align; it saturates at MaxInt64 instead
// of overflowing, so that a bounds check after it still fails.
func AlignUp(x, align int64) int64 {
	r := x % align
	if r == 0 {
		return x
	}
	if x > math.MaxInt64-(align-r) {
		return math.MaxInt64
	}
	return x + align - r
}

// DivUp is the number of pieces of size n, a positive number, that hold x.
func DivUp(x, n int64) int64 {
	q := x / n
	if x%n != 0 {
		q++
	}
	return q
}

// IsZero reports whether p holds only zero bytes. It leaves early on data, and
// otherwise compares p with itself eight bytes on, which runs at memory speed.
func IsZero(p []byte) bool {
	head := min(len(p), 8)
	for _, c := range p[:head] {
		if c != 0 {
			return false
		}
	}
	return bytes.Equal(p[:len(p)-head], p[head:])
}

// PageSize is how many zeros, aligned, are worth a hole: the block size of nearly
// all file systems.
const PageSize = 4096

// DataRun finds the first run of pages in p that are not all zeros, as the range
// [from, to) of p; without one, both are len(p). Pages are aligned on the disk or
// in the file where p begins at off.
func DataRun(p []byte, off int64) (from, to int) {
	for from < len(p) && IsZero(p[from:pageEnd(p, off, from)]) {
		from = pageEnd(p, off, from)
	}
	to = from
	for to < len(p) && !IsZero(p[to:pageEnd(p, off, to)]) {
		to = pageEnd(p, off, to)
	}
	return from, to
}

func pageEnd(p []byte, off int64, at int) int {
	return min(len(p), at+PageSize-int((off+int64(at))%PageSize))
}
