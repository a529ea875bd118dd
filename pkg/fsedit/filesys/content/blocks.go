package content

import "math"

// Blocks is the run of count blocks of 1 << bits bytes from block logical on, cut
// where no byte of a file can be. logical << bits must be one of a file.
func Blocks(logical, count uint64, bits uint) Run {
	r := Run{Off: int64(logical << bits)}
	r.Len = math.MaxInt64 - r.Off
	if count <= uint64(r.Len)>>bits {
		r.Len = int64(count << bits)
	}
	return r
}
