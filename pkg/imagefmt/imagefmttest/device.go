package imagefmttest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Device checks that dev holds exactly want and keeps the contract of
// blockdev.Device: reads of any place and length, ends of the device, extents.
func Device(t testing.TB, dev blockdev.Device, want []byte) {
	t.Helper()
	if dev.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", dev.Size(), len(want))
	}
	got := make([]byte, len(want))
	if n, err := dev.ReadAt(got, 0); n != len(want) || (err != nil && err != io.EOF) {
		t.Fatalf("reading all of %d bytes: %d, %v", len(want), n, err)
	}
	same(t, got, want, 0)
	r := rand.New(rand.NewPCG(1, uint64(len(want))))
	for range 30 {
		off := r.IntN(len(want) + 1)
		n := min(len(want)-off, r.IntN(100_000))
		if m, err := dev.ReadAt(got[:n], int64(off)); m != n || (err != nil && (err != io.EOF || off+n < len(want))) {
			t.Fatalf("reading %d+%d: %d, %v", off, n, m, err)
		}
		same(t, got[:n], want[off:off+n], off)
	}
	checkEnds(t, dev, want)
	checkExtents(t, dev, want)
}

// same fails with the first byte that differs.
func same(t testing.TB, got, want []byte, off int) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("byte %d is %#x, want %#x", off+i, got[i], want[i])
		}
	}
}

func checkEnds(t testing.TB, dev blockdev.Device, want []byte) {
	t.Helper()
	size := int64(len(want))
	if n, err := dev.ReadAt(make([]byte, 1), size); n != 0 || err != io.EOF {
		t.Errorf("reading at the end: %d, %v", n, err)
	}
	if n, err := dev.ReadAt(make([]byte, 1), size+1<<40); n != 0 || err != io.EOF {
		t.Errorf("reading far behind the end: %d, %v", n, err)
	}
	tail := min(size, 700)
	p := make([]byte, tail+1)
	if n, err := dev.ReadAt(p, size-tail); n != int(tail) || err != io.EOF {
		t.Errorf("reading over the end: %d, %v; want %d, EOF", n, err, tail)
	}
	same(t, p[:tail], want[size-tail:], int(size-tail))
	if n, err := dev.ReadAt(p, -1); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading at -1: %d, %v", n, err)
	}
}

// checkExtents walks dev in steps of several lengths. What is called zero must
// be; what lies on the host must be found there.
func checkExtents(t testing.TB, dev blockdev.Device, want []byte) {
	t.Helper()
	size := int64(len(want))
	for _, step := range []int64{size, 1000, 65536} {
		for off := int64(0); off < size; {
			e, err := blockdev.NextExtent(dev, off, min(step, size-off))
			if err != nil {
				t.Fatal(err)
			}
			content := want[e.Off:e.End()]
			if e.Kind == blockdev.Zero && !ondisk.IsZero(content) {
				t.Fatalf("extent %d+%d is said to be zeros", e.Off, e.Len)
			}
			if e.Host != nil {
				onHost(t, e, content)
			}
			off = e.End()
		}
	}
}

func onHost(t testing.TB, e blockdev.Extent, want []byte) {
	t.Helper()
	f, ok := e.Host.File.(io.ReaderAt)
	if !ok {
		return
	}
	got := make([]byte, len(want))
	if n, err := f.ReadAt(got, e.Host.Off); n < len(got) {
		t.Fatalf("extent %d+%d at %d of %s: %v", e.Off, e.Len, e.Host.Off, e.Host.File.Name(), err)
	}
	same(t, got, want, int(e.Off))
}
