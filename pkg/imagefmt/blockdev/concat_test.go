package blockdev

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

func TestConcat(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var want []byte
	var parts []Device
	for _, n := range []int{0, 1, 4096, 0, 513, 9000, 0} {
		p := randomBytes(r, n)
		want = append(want, p...)
		parts = append(parts, NewOverlay(FromBytes(p), OverlayOptions{}))
	}
	c := NewConcat(parts...)
	if c.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", c.Size(), len(want))
	}
	w, ok := c.(Writable)
	if !ok {
		t.Fatal("not writable although all parts are")
	}
	for range 300 {
		off, n := randomRange(r, len(want))
		p := randomBytes(r, n)
		if _, err := w.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
		copy(want[off:], p)
		off, n = randomRange(r, len(want))
		got := make([]byte, n)
		if m, err := c.ReadAt(got, int64(off)); m != n || err != nil {
			t.Fatalf("ReadAt(%d+%d) = %d, %v", off, n, m, err)
		}
		if !bytes.Equal(got, want[off:off+n]) {
			t.Fatalf("read %d+%d differs", off, n)
		}
	}
	if n, err := c.ReadAt(make([]byte, 10), c.Size()-3); n != 3 || err != io.EOF {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if _, err := w.WriteAt(make([]byte, 2), c.Size()-1); err == nil {
		t.Error("write over the end accepted")
	}
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
}

func TestConcatExtents(t *testing.T) {
	c := NewConcat(endless{1000}, FromBytes(make([]byte, 500)), endless{1000})
	if _, ok := c.(Writable); ok {
		t.Error("writable although a part is not")
	}
	var kinds []Kind
	var ends []int64
	for e, err := range Extents(t.Context(), c, 0, c.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Host != nil && e.Host.Off != e.Off%1500 {
			t.Errorf("extent at %d lies at %d", e.Off, e.Host.Off)
		}
		kinds, ends = append(kinds, e.Kind), append(ends, e.End())
	}
	if len(kinds) != 3 || kinds[1] != Data || ends[1] != 1500 {
		t.Errorf("extents %v ending at %v", kinds, ends)
	}
}

func TestConcatEmpty(t *testing.T) {
	c := NewConcat()
	if n, err := c.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
}
