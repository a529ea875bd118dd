package imagefmttest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func (s *suite) testRefused(t *testing.T) {
	ctx := context.Background()
	sink := NewSink("x")
	unknown := imagefmt.CreateOptions{Values: map[string]string{"no-such-option": "1"}}
	if _, err := s.creator.Create(ctx, sink, 1<<20, unknown); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("an unknown option: %v", err)
	}
	if _, err := s.creator.Create(ctx, sink, -1, imagefmt.CreateOptions{}); err == nil {
		t.Error("a negative size was accepted")
	}
	if sink.File().Size() != 0 {
		t.Error("a refused image wrote to its sink")
	}
}

// testSizes: what was written is what is read, at the sizes where mistakes live.
func (s *suite) testSizes(t *testing.T) {
	c := s.Cluster
	for _, size := range []int64{0, 1, 511, 512, 513, c - 1, c, c + 1, 5*c + 12345} {
		full := part{off: 0, n: size}
		src := s.must(t, NewSink("x"), size, full)
		if m, err := s.Format.Probe(src); err != nil || (m != ondisk.Sure && !s.Headerless) {
			t.Errorf("size %d: Probe = %v, %v", size, m, err)
		}
		img := s.open(t, src)
		Device(t, img, s.disk(size, full))
		if info := img.Info(); info.Format != s.Format.Name() || info.VirtualSize != img.Size() {
			t.Errorf("size %d: Info is of format %q and size %d", size, info.Format, info.VirtualSize)
		}
		if err := img.Close(); err != nil || src.Closed() != 1 {
			t.Errorf("Close: %v; the source was closed %d times", err, src.Closed())
		}
	}
	size, parts := s.sample()
	Device(t, s.open(t, s.must(t, NewSink("x"), size, parts...)), s.disk(size, parts...))
}

// testSparse: a large disk with little on it is a small file, and says so.
func (s *suite) testSparse(t *testing.T) {
	size := s.MaxSize
	parts := []part{{off: 0, n: 1000}, {off: size/2 + 5, n: 70_000}, {off: size - 4096, n: 4096}}
	src := s.must(t, NewSink("x"), size, parts...)
	if got := src.Allocated(); got > 32<<20 {
		t.Errorf("%d bytes are allocated for less than 100 kB of data", got)
	}
	img := s.open(t, src)
	defer img.Close()
	if img.Size() != ondisk.AlignUp(size, s.Sector) {
		t.Fatalf("size %d, want %d", img.Size(), size)
	}
	for _, p := range parts {
		got := make([]byte, p.n)
		if err := ondisk.Full(img, got, p.off); err != nil {
			t.Fatal(err)
		}
		same(t, got, p.bytes(), int(p.off))
	}
	var data int64
	for e, err := range blockdev.Extents(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == blockdev.Data {
			data += e.Len
		}
	}
	if data < 75_000 || data > 64<<20 {
		t.Errorf("extents show %d bytes of data", data)
	}
}

// testZeros: zeros that are written or declared are zeros, and gaps are.
func (s *suite) testZeros(t *testing.T) {
	c := s.Cluster
	size := 6 * c
	src := s.must(t, NewSink("x"), size, part{off: 1, n: 10}, part{off: 11, n: 3 * c, zero: true}, part{off: 4 * c, n: 7})
	Device(t, s.open(t, src), s.disk(size, part{off: 1, n: 10}, part{off: 4 * c, n: 7}))

	sink := NewSink("x")
	w, err := s.creator.Create(context.Background(), sink, size, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(make([]byte, size), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := sink.File().Allocated(); got >= size && size > 1<<18 {
		t.Errorf("%d zeros take %d bytes", size, got)
	}
	Device(t, s.open(t, sink.File()), make([]byte, size))
}

// testOrder: a writer refuses what is out of order or place.
func (s *suite) testOrder(t *testing.T) {
	w, err := s.creator.Create(context.Background(), NewSink("x"), 4*s.Cluster, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.WriteAt(make([]byte, 10), 2*s.Cluster); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 2*s.Cluster + 9, 4*s.Cluster - 9, 1 << 50, -1} {
		if _, err := w.WriteAt(make([]byte, 10), off); err == nil {
			t.Errorf("WriteAt(10 bytes, %d) was accepted", off)
		}
		if err := w.Zero(off, 10); err == nil {
			t.Errorf("Zero(%d, 10) was accepted", off)
		}
	}
}

// testEnd: exactly one of Finish and Abort ends a writer.
func (s *suite) testEnd(t *testing.T) {
	ctx := context.Background()
	sink := NewSink("x")
	w, err := s.creator.Create(ctx, sink, 2*s.Cluster, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(Pattern(0, 1000, 1), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Errorf("Abort: %v", err)
		}
	}
	if err := w.Finish(ctx); err == nil {
		t.Error("Finish after Abort gave no error")
	}

	sink = NewSink("x")
	if w, err = s.creator.Create(ctx, sink, 2*s.Cluster, s.opts); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Finish(ctx); err != nil {
			t.Errorf("Finish: %v", err)
		}
	}
	if sink.Synced() == 0 {
		t.Error("Finish did not sync")
	}
	before := sink.File().Bytes()
	if err := w.Abort(); err != nil || !bytes.Equal(before, sink.File().Bytes()) {
		t.Errorf("Abort after Finish: %v, or the image changed", err)
	}
	if _, err := w.WriteAt([]byte{1}, 0); err == nil {
		t.Error("WriteAt after Finish was accepted")
	}
}

// testAgain: same input, same bytes.
func (s *suite) testAgain(t *testing.T) {
	size, parts := s.sample()
	a := s.must(t, NewSink("x"), size, parts...)
	b := s.must(t, NewSink("x"), size, parts...)
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two runs over the same input differ")
	}
}

// testPipe: a sink that cannot seek is refused untouched, or gets an image.
func (s *suite) testPipe(t *testing.T) {
	size, parts := s.sample()
	sink := NewSink("x")
	sink.Pipe = true
	err := s.write(sink, size, parts...)
	if err == nil {
		Device(t, s.open(t, sink.File()), s.disk(size, parts...))
		return
	}
	if !errors.Is(err, ondisk.ErrUnsupported) || sink.File().Size() != 0 {
		t.Errorf("a pipe was refused with %v after %d bytes", err, sink.File().Size())
	}
}

// testDevice: old bytes of a device do not show in the image.
func (s *suite) testDevice(t *testing.T) {
	size, parts := s.sample()
	need := s.must(t, NewSink("x"), size, parts...).Size()
	sink := NewUsedSink("x", need)
	Device(t, s.open(t, s.must(t, sink, size, parts...)), s.disk(size, parts...))
	if err := s.write(NewUsedSink("x", need/2), size, parts...); err == nil {
		t.Error("a device that is too small was accepted")
	}
}

// testBlocks: blocks that were encoded out of order make the same image as
// blocks encoded one after the other, and hold the same disk.
func (s *suite) testBlocks(t *testing.T) {
	size, parts := s.sample()
	disk := s.disk(size, parts...)[:size]
	forward, ok := s.encoded(t, disk, false)
	if !ok {
		return
	}
	backward, _ := s.encoded(t, disk, true)
	if !bytes.Equal(forward.Bytes(), backward.Bytes()) {
		t.Error("the order of Encode shows in the image")
	}
	Device(t, s.open(t, forward), s.disk(size, parts...))
}

func (s *suite) encoded(t *testing.T, disk []byte, backward bool) (*MemFile, bool) {
	t.Helper()
	sink := NewSink("x")
	w, err := s.creator.Create(context.Background(), sink, int64(len(disk)), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	bw, ok := w.(imagefmt.BlockWriter)
	if !ok {
		w.Abort()
		return nil, false
	}
	n := (len(disk) + bw.BlockSize() - 1) / bw.BlockSize()
	blocks := make([]imagefmt.Block, n)
	for i := range n {
		if backward {
			i = n - 1 - i
		}
		from := i * bw.BlockSize()
		plain := disk[from:min(len(disk), from+bw.BlockSize())]
		if blocks[i], err = bw.Encode(nil, int64(from), plain); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range blocks {
		if err := bw.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := bw.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	return sink.File(), true
}
