package blockdev

import (
	"errors"
	"io"
	"testing"
)

// TestReadPieces: reads end with the device, and what came before a failure counts.
func TestReadPieces(t *testing.T) {
	const size = 10
	broken := errors.New("broken")
	read := func(p []byte, off int64) (int, error) {
		if off == 6 {
			return 1, broken
		}
		if int64(len(p)) > size-off {
			t.Errorf("asked for %d+%d of %d bytes", off, len(p), size)
		}
		n := min(len(p), 2)
		for i := range n {
			p[i] = byte(off) + byte(i)
		}
		return n, nil
	}
	for _, c := range []struct {
		off  int64
		n    int
		want int
		err  error
	}{
		{0, 5, 5, nil}, {0, 6, 6, nil}, {2, 7, 4, broken}, {7, 3, 3, nil}, {7, 4, 3, io.EOF}, {10, 1, 0, io.EOF}, {9, 0, 0, nil},
	} {
		p := make([]byte, c.n)
		if n, err := ReadPieces(p, c.off, size, read); n != c.want || err != c.err {
			t.Errorf("%d+%d: %d, %v", c.off, c.n, n, err)
		}
		for i := range c.want {
			if p[i] != byte(c.off)+byte(i) {
				t.Errorf("%d+%d: byte %d is %d", c.off, c.n, i, p[i])
			}
		}
	}
	if _, err := ReadPieces(nil, -1, size, read); err == nil || err == io.EOF {
		t.Errorf("before the start: %v", err)
	}
}
