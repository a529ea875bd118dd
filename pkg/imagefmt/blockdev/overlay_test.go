package blockdev

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// model is an overlay as one would write it with memory to burn.
type model struct {
	inner, data        []byte
	written, discarded []bool
}

func newModel(inner []byte) *model {
	return &model{inner, make([]byte, len(inner)), make([]bool, len(inner)), make([]bool, len(inner))}
}

func (m *model) write(p []byte, off int) {
	copy(m.data[off:], p)
	for i := range p {
		m.written[off+i] = true
	}
}

func (m *model) discard(off, n int) {
	for i := range n {
		m.discarded[off+i] = true
	}
}

func (m *model) layer(i int) layer {
	switch {
	case m.written[i]:
		return layerWritten
	case m.discarded[i]:
		return layerDiscarded
	}
	return layerInner
}

func (m *model) content() []byte {
	p := slices.Clone(m.inner)
	for i := range p {
		switch m.layer(i) {
		case layerWritten:
			p[i] = m.data[i]
		case layerDiscarded:
			p[i] = 0
		}
	}
	return p
}

func (m *model) changed() (spans []span) {
	for i, w := range m.written {
		switch {
		case !w:
		case i > 0 && m.written[i-1]:
			spans[len(spans)-1].end++
		default:
			spans = append(spans, span{int64(i), int64(i) + 1})
		}
	}
	return spans
}

// spillBuffer is a spill file in memory.
type spillBuffer struct{ p []byte }

func (b *spillBuffer) WriteAt(p []byte, off int64) (int, error) {
	if grow := int(off) + len(p) - len(b.p); grow > 0 {
		b.p = append(b.p, make([]byte, grow)...)
	}
	return copy(b.p[off:], p), nil
}

func (b *spillBuffer) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b.p).ReadAt(p, off)
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// randomRange prefers the edges of pages and superpages, where mistakes live.
func randomRange(r *rand.Rand, size int) (off, n int) {
	off = r.IntN(size + 1)
	if r.IntN(2) == 0 {
		off = min(size, max(0, off/pageSize*pageSize+r.IntN(3)-1))
	}
	switch n = r.IntN(3 * pageSize); r.IntN(4) {
	case 0:
		n = r.IntN(20)
	case 1:
		n = n / pageSize * pageSize
	}
	return off, min(n, size-off)
}

func TestOverlayAgreesWithModel(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		size := 2*superSize + r.IntN(3*pageSize)
		inner := randomBytes(r, size)
		before := slices.Clone(inner)
		m := newModel(inner)
		spill := &spillBuffer{}
		o := NewOverlay(FromBytes(inner), OverlayOptions{
			Memory: int64(r.IntN(20)+1) * pageSize,
			Spill:  func() (SpillFile, error) { return spill, nil },
		})
		for range 150 {
			off, n := randomRange(r, size)
			if r.IntN(3) == 0 {
				if err := o.Discard(int64(off), int64(n)); err != nil {
					t.Fatal(err)
				}
				m.discard(off, n)
				continue
			}
			p := randomBytes(r, n)
			if got, err := o.WriteAt(p, int64(off)); err != nil || got != n {
				t.Fatalf("seed %d: WriteAt = %d, %v", seed, got, err)
			}
			m.write(p, off)
		}
		compareOverlay(t, r, o, m)
		if !bytes.Equal(inner, before) {
			t.Fatalf("seed %d: inner was written", seed)
		}
		if len(spill.p) == 0 {
			t.Errorf("seed %d: nothing was spilled", seed)
		}
	}
}

func compareOverlay(t *testing.T, r *rand.Rand, o *Overlay, m *model) {
	t.Helper()
	want := m.content()
	for range 50 {
		off, n := randomRange(r, len(want))
		got := make([]byte, n)
		if _, err := o.ReadAt(got, int64(off)); err != nil && !(err == io.EOF && off == len(want)) {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want[off:off+n]) {
			t.Fatalf("read %d+%d differs from the model", off, n)
		}
	}
	got := make([]byte, len(want)+1)
	if n, err := o.ReadAt(got, 0); n != len(want) || err != io.EOF {
		t.Fatalf("read beyond the end: %d, %v", n, err)
	}
	if !bytes.Equal(got[:len(want)], want) {
		t.Fatal("content differs from the model")
	}
	var spans []span
	var total int64
	for e, err := range o.Changed(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, span{e.Off, e.End()})
		total += e.Len
	}
	if !slices.Equal(spans, m.changed()) {
		t.Fatalf("changed: got %v\nwant %v", spans, m.changed())
	}
	if o.ChangedBytes() != total || o.Dirty() != (total > 0) {
		t.Fatalf("ChangedBytes %d, Dirty %v; %d bytes are listed", o.ChangedBytes(), o.Dirty(), total)
	}
	compareExtents(t, o, m)
}

func compareExtents(t *testing.T, o *Overlay, m *model) {
	t.Helper()
	for off := int64(0); off < o.Size(); {
		e, err := NextExtent(o, off, o.Size()-off)
		if err != nil {
			t.Fatal(err)
		}
		first := m.layer(int(off))
		for i := off; i < e.End(); i++ {
			if m.layer(int(i)) != first {
				t.Fatalf("extent %d+%d spans two layers", e.Off, e.Len)
			}
		}
		if e.End() < o.Size() && m.layer(int(e.End())) == first {
			t.Fatalf("extent %d+%d could be longer", e.Off, e.Len)
		}
		if (e.Kind == Zero) != (first == layerDiscarded) || e.Host != nil {
			t.Fatalf("extent %d+%d is %v in layer %d", e.Off, e.Len, e.Kind, first)
		}
		off = e.End()
	}
}

// endless is a device of zeros that is larger than any memory.
type endless struct{ size int64 }

func (d endless) Size() int64 { return d.size }
func (d endless) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	return len(p), nil
}
func (d endless) NextExtent(off, n int64) (Extent, error) {
	return Extent{Off: off, Len: n, Kind: Zero, Host: &HostPos{Off: off}}, nil
}

func TestOverlaySparse(t *testing.T) {
	const size = 64 << 40
	o := NewOverlay(endless{size}, OverlayOptions{})
	for i := int64(0); i < 64; i++ {
		if _, err := o.WriteAt([]byte("x"), i<<40+i); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for e, err := range Extents(t.Context(), o, 0, size) {
		if err != nil {
			t.Fatal(err)
		}
		if (e.Kind == Data) != (e.Host == nil) {
			t.Fatalf("extent %+v: only inner's bytes lie on the host", e)
		}
		n++
	}
	if n != 128 {
		t.Errorf("%d extents, want 128", n)
	}
}

func TestOverlayLimits(t *testing.T) {
	o := NewOverlay(FromBytes(make([]byte, 10*pageSize)), OverlayOptions{Memory: 2 * pageSize})
	if n, err := o.WriteAt(make([]byte, 3*pageSize), 0); n != 2*pageSize || !errors.Is(err, ErrOverlayFull) {
		t.Errorf("write beyond memory: %d, %v", n, err)
	}
	if _, err := o.WriteAt(make([]byte, pageSize), pageSize); err != nil {
		t.Errorf("a page that is held can be written again: %v", err)
	}
	for _, x := range []span{{-1, 0}, {10 * pageSize, 10*pageSize + 1}, {1, 11 * pageSize}} {
		if _, err := o.WriteAt(make([]byte, x.end-x.off), x.off); err == nil {
			t.Errorf("write %v accepted", x)
		}
		if err := o.Discard(x.off, x.end-x.off); err == nil {
			t.Errorf("discard %v accepted", x)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range o.Changed(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Changed after cancel: %v", err)
		}
	}
}

// A failing disk must say so, and not end early.
func TestOverlayInnerFails(t *testing.T) {
	o := NewOverlay(failing{100}, OverlayOptions{})
	if _, err := o.WriteAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if n, err := o.ReadAt(make([]byte, 20), 0); n != 10 || !errors.Is(err, errDisk) {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
}

var errDisk = errors.New("disk fails")

type failing struct{ size int64 }

func (d failing) Size() int64                       { return d.size }
func (d failing) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// TestOverlayConcurrent is for the race detector; each goroutine has its own
// pages, and reads those of the others.
func TestOverlayConcurrent(t *testing.T) {
	const workers, pages = 4, 64
	o := NewOverlay(FromBytes(make([]byte, workers*pages*pageSize)), OverlayOptions{
		Memory: 40 * pageSize,
		Spill:  func() (SpillFile, error) { return &spillBuffer{}, nil },
	})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			mark := bytes.Repeat([]byte{byte(w + 1)}, pageSize)
			got := make([]byte, 4*pageSize)
			for i := range pages {
				off := int64(i*workers+w) * pageSize
				o.WriteAt(mark, off)
				o.ReadAt(got[:pageSize], off)
				if !bytes.Equal(got[:pageSize], mark) {
					t.Errorf("worker %d: page %d differs", w, i)
				}
				o.Discard(off, pageSize)
				o.ReadAt(got, off/2)
				NextExtent(o, off, pageSize)
				for range o.Changed(context.Background()) {
					break
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkOverlayRead(b *testing.B) {
	o := NewOverlay(endless{1 << 30}, OverlayOptions{})
	for off := int64(0); off < 16<<20; off += 64 << 10 {
		o.WriteAt(make([]byte, pageSize), off)
	}
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	for i := 0; b.Loop(); i++ {
		o.ReadAt(p, int64(i%16)<<20)
	}
}
