package vhdx

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// small is an image of 4 MiB with blocks of 1 MiB, of which the first two are there.
func small(t testing.TB) *imagefmttest.MemFile {
	t.Helper()
	sink := imagefmttest.NewSink("x")
	content := make([]byte, 4<<20)
	copy(content, pattern(2<<20, 1))
	content[0], content[1<<20] = 1, 1
	create(t, sink, content, "block_size=1M")
	return sink.File()
}

// Places of what [small] writes.
const (
	smallMetadata = 2 * mib
	smallItems    = smallMetadata + metadataItems
	smallBAT      = 3 * mib
	smallPayload  = 4 * mib
)

// TestHostile: structures that lie. Opening or reading says so.
func TestHostile(t *testing.T) {
	region := func(f *imagefmttest.MemFile, at int, word uint64) {
		for _, off := range []int64{regionOffset1, regionOffset2} {
			p, err := ondisk.Bytes(f, off, regionSize)
			if err != nil {
				t.Fatal(err)
			}
			le.PutUint64(p[at:], word)
			seal(p)
			must(t, f, p, off)
		}
	}
	word := func(off int64, v uint64) func(*imagefmttest.MemFile) {
		return func(f *imagefmttest.MemFile) { must(t, f, le.AppendUint64(nil, v), off) }
	}
	half := func(off int64, v uint32) func(*imagefmttest.MemFile) {
		return func(f *imagefmttest.MemFile) { must(t, f, le.AppendUint32(nil, v), off) }
	}
	tests := []struct {
		name string
		make func(f *imagefmttest.MemFile)
		want error
	}{
		{"regions overlap", func(f *imagefmttest.MemFile) { region(f, 32, smallMetadata) }, ondisk.ErrCorrupt},
		{"BAT over the log", func(f *imagefmttest.MemFile) { region(f, 32, fixedArea) }, ondisk.ErrCorrupt},
		{"BAT over the headers", func(f *imagefmttest.MemFile) { region(f, 32, 0) }, ondisk.ErrCorrupt},
		{"BAT behind the end", func(f *imagefmttest.MemFile) { region(f, 32, 1<<40) }, ondisk.ErrCorrupt},
		{"BAT at a negative offset", func(f *imagefmttest.MemFile) { region(f, 32, 1<<63) }, ondisk.ErrCorrupt},
		{"BAT not aligned", func(f *imagefmttest.MemFile) { region(f, 32, smallBAT+4096) }, ondisk.ErrCorrupt},
		{"no BAT", func(f *imagefmttest.MemFile) { region(f, 40, 0) }, ondisk.ErrCorrupt},
		{"unknown region", func(f *imagefmttest.MemFile) { region(f, 16, 1) }, ondisk.ErrUnsupported},
		{"region count", func(f *imagefmttest.MemFile) { region(f, 8, 1<<31) }, ondisk.ErrCorrupt},
		{"metadata signature", half(smallMetadata, 0), ondisk.ErrCorrupt},
		{"item count", half(smallMetadata+8, 0xffff0000), ondisk.ErrCorrupt},
		{"unknown item", half(smallMetadata+32, 7), ondisk.ErrUnsupported},
		{"item in the table", half(smallMetadata+32+16, 32), ondisk.ErrCorrupt},
		{"item behind the region", half(smallMetadata+32+16, mib), ondisk.ErrCorrupt},
		{"item length", half(smallMetadata+32+20, 0xffffffff), ondisk.ErrCorrupt},
		{"block size 0", half(smallItems, 0), ondisk.ErrCorrupt},
		{"block size 3M", half(smallItems, 3*mib), ondisk.ErrCorrupt},
		{"block size 512M", half(smallItems, 512*mib), ondisk.ErrCorrupt},
		{"parent without a locator", half(smallItems+4, hasParent), ondisk.ErrCorrupt},
		{"size of 65 TiB", word(smallItems+8, 65<<40), ondisk.ErrCorrupt},
		{"size of 1 TiB in a small BAT", word(smallItems+8, 1<<40), ondisk.ErrCorrupt},
		{"size of half a sector", word(smallItems+8, 256), ondisk.ErrCorrupt},
		{"sector size 0", half(smallItems+32, 0), ondisk.ErrCorrupt},
		{"payload in the metadata", word(smallBAT, smallMetadata|fullyPresent), ondisk.ErrCorrupt},
		{"payload in the BAT", word(smallBAT, smallBAT|fullyPresent), ondisk.ErrCorrupt},
		{"payload in the headers", word(smallBAT, fullyPresent), ondisk.ErrCorrupt},
		{"payload behind the end", word(smallBAT, 1<<50|fullyPresent), ondisk.ErrCorrupt},
		{"payload at a negative offset", word(smallBAT, 1<<63|fullyPresent), ondisk.ErrCorrupt},
		{"partly present without a parent", word(smallBAT, smallPayload|partly), ondisk.ErrCorrupt},
		{"unknown state", word(smallBAT, 4), ondisk.ErrCorrupt},
	}
	for _, tt := range tests {
		f := small(t)
		tt.make(f)
		img, err := Format{}.Open(context.Background(), f, imagefmt.OpenOptions{})
		if err == nil {
			err = ondisk.Full(img, make([]byte, img.Size()), 0)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		r, err := Format{}.Check(context.Background(), f, imagefmt.OpenOptions{}, nil)
		if err == nil && r.Corrupt == 0 {
			t.Errorf("%s: Check finds nothing", tt.name)
		}
	}
}

// TestShared: two entries for one payload can be read, and Check finds them.
func TestShared(t *testing.T) {
	f := small(t)
	must(t, f, le.AppendUint64(nil, smallPayload|fullyPresent), smallBAT+8)
	p := readAll(t, openMem(t, f))
	expectSame(t, "shared", p[1<<20:2<<20], p[:1<<20])
	r, err := Format{}.Check(context.Background(), f, imagefmt.OpenOptions{}, nil)
	if err != nil || r.Corrupt != 1 || r.Allocated != 2 || r.Blocks != 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestGiantBAT: 64 TiB in blocks of 1 MiB have a BAT of 512 MiB, which nobody
// reads as a whole.
func TestGiantBAT(t *testing.T) {
	ctx := context.Background()
	sink := imagefmttest.NewSink("x")
	w, err := Format{}.Create(ctx, sink, maxVirtualSize, options("block_size=1M"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, w, []byte("middle"), maxVirtualSize/2)
	must(t, w, []byte("end"), maxVirtualSize-3)
	if err := w.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	f := sink.File()
	var read int64
	f.OnRead = func(_ int64, n int) error { read += int64(n); return nil }
	begin := time.Now()
	img := openMem(t, f)
	var data, extents int64
	for e, err := range blockdev.Extents(ctx, img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if extents++; e.Kind == blockdev.Data {
			data += e.Len
		}
	}
	got := make([]byte, 6)
	if err := ondisk.Full(img, got, maxVirtualSize/2); err != nil || string(got) != "middle" {
		t.Errorf("%q, %v", got, err)
	}
	expectChecked(t, f)
	must(t, openUpdate(t, f), []byte("x"), 1<<40)
	if read > 8<<20 || data > 16<<10 || extents > 100 || time.Since(begin) > 10*time.Second {
		t.Errorf("%d bytes were read, %d of data in %d extents, in %v", read, data, extents, time.Since(begin))
	}
}

var smallLimits = ondisk.Limits{VirtualSize: 64 << 20, Table: 4 << 20, Cache: 1 << 20}

// exercise opens, describes, checks, reads and changes what may be no image.
// Nothing may panic, hang or eat memory; it may well fail.
func exercise(t *testing.T, f *imagefmttest.MemFile) {
	t.Helper()
	begin := time.Now()
	ctx := context.Background()
	opts := imagefmt.OpenOptions{Limits: smallLimits}
	_, _ = Format{}.Describe(ctx, f, opts)
	_, _ = Format{}.Check(ctx, f, opts, nil)
	if img, err := registry.Open(ctx, f, layer, opts); err == nil {
		exerciseReads(t, img)
	}
	if img, err := (Format{}).Update(ctx, f, opts); err == nil {
		for i := range int64(8) {
			if off := i * img.Size() / 8; off < img.Size() {
				_, _ = img.WriteAt([]byte("x"), off)
			}
		}
		exerciseReads(t, img)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func exerciseReads(t *testing.T, img imagefmt.Image) {
	left, buf := int64(4<<20), make([]byte, 1<<20)
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if err != nil || left <= 0 {
			return
		}
		n := min(e.Len, int64(len(buf)))
		if got, err := img.ReadAt(buf[:n], e.Off); err == nil && int64(got) < n {
			t.Errorf("short read of %d+%d without an error", e.Off, n)
		}
		left -= n + 4096
	}
}

// patches are places of [small] where fuzzing is worth its time.
var patches = []int64{headerOffset2, regionOffset1, smallMetadata, smallItems, smallBAT, smallPayload}

// FuzzOpen puts bytes over the structures of an image and seals them again.
func FuzzOpen(f *testing.F) {
	base := tiny(f).Bytes()
	pages := pagesOf(base)
	for i, off := range patches {
		f.Add(uint8(i), base[off:off+256], true)
	}
	f.Add(uint8(4), []byte{7, 0, 0x40, 0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, place uint8, patch []byte, reseal bool) {
		file := fresh(t, int64(len(base)), pages)
		must(t, file, patch[:min(len(patch), 4096)], patches[int(place)%len(patches)])
		if reseal {
			resealAll(t, file)
		}
		exercise(t, file)
	})
}

// pagesOf is what [fresh] copies of an image: its pages that are not zeros.
func pagesOf(content []byte) []piece {
	var pages []piece
	for off := 0; off < len(content); off += ondisk.PageSize {
		if p := content[off:min(len(content), off+ondisk.PageSize)]; !ondisk.IsZero(p) {
			pages = append(pages, piece{int64(off), p})
		}
	}
	return pages
}

// fresh is a file of the given size with these pages.
func fresh(t testing.TB, size int64, pages []piece) *imagefmttest.MemFile {
	t.Helper()
	f := imagefmttest.NewSource("x", nil)
	for _, p := range pages {
		must(t, f, p.data, p.off)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

// tiny is [small] with next to no data.
func tiny(t testing.TB) *imagefmttest.MemFile {
	t.Helper()
	sink := imagefmttest.NewSink("x")
	content := make([]byte, 4<<20)
	content[5], content[1<<20] = 1, 2
	create(t, sink, content, "block_size=1M")
	return sink.File()
}

// resealAll mends the checksums of headers and region tables.
func resealAll(t testing.TB, f *imagefmttest.MemFile) {
	t.Helper()
	for _, s := range []struct{ off, n int64 }{{headerOffset1, headerSize}, {headerOffset2, headerSize}, {regionOffset1, regionSize}, {regionOffset2, regionSize}} {
		p, err := ondisk.Bytes(f, s.off, s.n)
		if err != nil {
			t.Fatal(err)
		}
		seal(p)
		must(t, f, p, s.off)
	}
}

// FuzzLog makes logs of entries out of bytes, and mends their checksums.
func FuzzLog(f *testing.F) {
	seed := tiny(f)
	l := newLogWriter(f, seed, 0)
	page := pattern(logSector, 1)
	f.Add(l.entry(change{off: smallPayload, data: page}, change{off: smallBAT, n: 8192}), uint16(0))
	f.Add(l.entry(), uint16(255))
	l.seq++
	f.Add(l.entry(change{off: 0, n: 1 << 40}), uint16(1))
	base := seed.Bytes()
	pages := pagesOf(base)
	f.Fuzz(func(t *testing.T, log []byte, at uint16) {
		file := fresh(t, int64(len(base)), pages)
		log = append([]byte(nil), log[:min(len(log), 64<<10)]...)
		for off := 0; off+logHeaderSize <= len(log); {
			n := int(le.Uint32(log[off+8:]))
			if n < logSector || n > len(log)-off {
				n = len(log) - off
			}
			seal(log[off : off+n])
			off += n
		}
		pos := int64(at%256) * logSector
		must(t, file, log[:min(int64(len(log)), mib-pos)], fixedArea+pos)
		must(t, file, log[min(int64(len(log)), mib-pos):], fixedArea)
		exercise(t, file)
	})
}

// FuzzLocator parses parent locators.
func FuzzLocator(f *testing.F) {
	f.Add(locatorItem(keyLinkage, "{92d348ce-8856-4c1d-9fcf-4898f20e571c}", keyRelative, `..\base.vhdx`))
	f.Fuzz(func(t *testing.T, item []byte) {
		l, err := parseLocator(item)
		if err != nil {
			return
		}
		for _, n := range l.names() {
			if n == "" || len(n) > 2*len(item) {
				t.Errorf("%q", n)
			}
		}
		l.linkedTo(guid{})
	})
}

// TestConcurrent reads by many goroutines, through a cache that is too small,
// while one writes to another place.
func TestConcurrent(t *testing.T) {
	content := pattern(6<<20, 3)
	sink := imagefmttest.NewSink("x")
	create(t, sink, content, "block_size=1M")
	img, err := Format{}.Update(context.Background(), sink.File(), imagefmt.OpenOptions{Limits: ondisk.Limits{Cache: 1}})
	if err != nil {
		t.Fatal(err)
	}
	const half = 3 << 20
	done := make(chan error, 5)
	for k := range int64(4) {
		go func() {
			buf := make([]byte, 10_000)
			for i := range int64(100) {
				off := (i*7919*int64(len(buf)) + k) % (half - int64(len(buf)))
				err := ondisk.Full(img, buf, off)
				if err == nil && !bytes.Equal(buf, content[off:off+int64(len(buf))]) {
					err = errors.New("content differs")
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	go func() {
		var err error
		for i := int64(0); i < 100 && err == nil; i++ {
			_, err = img.WriteAt(bytes.Repeat([]byte{byte(i)}, 5000), half+i*7000)
		}
		done <- err
	}()
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
