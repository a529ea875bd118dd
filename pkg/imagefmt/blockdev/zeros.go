package blockdev

import "io"

// Zeros is a device of n bytes that are all zeros.
func Zeros(n int64) Device { return zeros(n) }

type zeros int64

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(z) {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), int64(z)-off))
	clear(p[:n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (z zeros) NextExtent(off, n int64) (Extent, error) {
	return Extent{Off: off, Len: n, Kind: Zero}, nil
}
