package content

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// TestFile reads random runs, some told in parts, against plain bytes.
func TestFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dev := make([]byte, 1<<16)
	for i := range dev {
		dev[i] = byte(rng.Uint32())
	}
	var want []byte
	var runs []Run
	for range 50 {
		r := Run{Off: int64(len(want)), Len: 1 + rng.Int64N(3000), Hole: rng.IntN(3) == 0}
		if len(runs) > 0 && rng.IntN(2) == 0 { // right behind the last
			r.At = runs[len(runs)-1].At + runs[len(runs)-1].Len
		}
		if r.At+r.Len > int64(len(dev)) {
			r.At = rng.Int64N(int64(len(dev)) - r.Len)
		}
		runs = append(runs, r)
		if r.Hole {
			want = append(want, make([]byte, r.Len)...)
		} else {
			want = append(want, dev[r.At:r.At+r.Len]...)
		}
	}
	find := func(off int64) (Run, error) {
		for _, r := range runs {
			if off < r.end() {
				return r, nil
			}
		}
		return Run{}, errors.New("beyond the last run")
	}
	f := New(blockdev.FromBytes(dev), int64(len(want)), find)
	for range 2000 {
		off := rng.IntN(len(want))
		p := make([]byte, rng.IntN(9000))
		n, err := f.ReadAt(p, int64(off))
		if wantN := min(len(p), len(want)-off); n != wantN || !bytes.Equal(p[:n], want[off:off+n]) || (err == io.EOF) != (n < len(p)) {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
	}
	for off := int64(0); off < f.Size(); {
		e, err := f.NextExtent(off, f.Size()-off)
		if err != nil || e.Off != off || e.Len < 1 {
			t.Fatal(e, err)
		}
		if zero := bytes.Count(want[off:off+e.Len], []byte{0}) == int(e.Len); e.Kind == blockdev.Zero && !zero {
			t.Fatalf("%d+%d is not zero", off, e.Len)
		}
		off += e.Len
	}
}

func TestBlocks(t *testing.T) {
	for _, test := range []struct {
		logical, count uint64
		off, len       int64
	}{
		{3, 5, 12288, 20480},
		{0, 1 << 54, 0, math.MaxInt64},
		{math.MaxInt64 >> 12, 1, math.MaxInt64 &^ 4095, 4095},
	} {
		if r := Blocks(test.logical, test.count, 12); r.Off != test.off || r.Len != test.len {
			t.Errorf("%v: %+v", test, r)
		}
	}
}
