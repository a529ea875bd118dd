//go:build linux

package vmdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// save writes the files of a folder in memory back to the host.
func (l *lab) save(f *imagefmttest.Folder) {
	l.t.Helper()
	for _, name := range f.Names() {
		host, err := os.Create(l.path(name))
		if err != nil {
			l.t.Fatal(err)
		}
		content := f.Get(name).Bytes()
		for off := 0; off < len(content) && err == nil; off += 1 << 16 {
			if p := content[off:min(off+1<<16, len(content))]; !ondisk.IsZero(p) {
				_, err = host.WriteAt(p, int64(off))
			}
		}
		if err := errors.Join(err, host.Truncate(int64(len(content))), host.Close()); err != nil {
			l.t.Fatal(err)
		}
	}
}

func openUpdate(t *testing.T, f *imagefmttest.Folder) imagefmt.WritableImage {
	t.Helper()
	img, err := Format{}.Update(t.Context(), f.Get("disk.vmdk"), imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// scribble writes at random to img and to its twin.
func scribble(t *testing.T, img imagefmt.WritableImage, twin []byte, seed int64, count int) {
	t.Helper()
	rng := rand.New(rand.NewSource(seed))
	for range count {
		off := rng.Intn(len(twin))
		n := 1 + rng.Intn(20_000)
		switch rng.Intn(10) {
		case 0:
			n = 1 + rng.Intn(200_000)
		case 1:
			off, n = off&^(grainBytes-1), grainBytes
		}
		p := twin[off:min(off+n, len(twin))]
		if rng.Intn(4) == 0 {
			clear(p)
		} else {
			rng.Read(p)
		}
		if _, err := img.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpdate writes 2000 times to each kind of disk that can be changed, and to a
// raw twin. qemu-img compares them.
func TestUpdate(t *testing.T) {
	const size = 34<<20 + 5*sectorSize
	for seed, options := range []string{
		"",
		"-o zeroed_grain=on",
		"-o subformat=monolithicFlat",
		"-o subformat=twoGbMaxExtentFlat",
		"-o subformat=twoGbMaxExtentSparse",
	} {
		t.Run(options, func(t *testing.T) {
			l := newLab(t)
			twin := make([]byte, size)
			copy(twin, guestDisk(5<<20, int64(seed)))
			leaks := 0
			l.write("in.raw", twin)
			l.img("convert -f raw -O vmdk " + options + " @in.raw @disk.vmdk")
			if strings.Contains(options, "zeroed") {
				l.io("disk.vmdk", "write -z 0 1M", "write -z 30M 2M")
				clear(twin[:1<<20])
				leaks = 1 // QEMU forgets the grain that was there
			}
			os.Remove(l.path("in.raw"))
			f := l.folder()
			before := idOf(t, f.Get("disk.vmdk"))
			img := openUpdate(t, f)
			scribble(t, img, twin, int64(seed), 2000)
			if got, err := readAll(img); err != nil || !bytes.Equal(got, twin) {
				t.Fatalf("we read another disk: %v", err)
			}
			if err := img.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if after := idOf(t, f.Get("disk.vmdk")); after == before {
				t.Errorf("the CID is still %08x", after)
			}
			l.save(f)
			l.write("twin.raw", twin)
			l.img("compare -f raw -F vmdk @twin.raw @disk.vmdk")
			if !strings.Contains(options, "Flat") { // QEMU has nothing to check there
				l.img("check -q -f vmdk @disk.vmdk")
			}
			if r, err := (Format{}).Check(t.Context(), f.Get("disk.vmdk"), imagefmt.OpenOptions{}, nil); err != nil || r.Corrupt != 0 || r.Leaked > leaks {
				t.Errorf("check: %v, %+v", err, r)
			}
		})
	}
}

func idOf(t *testing.T, src imagefmt.Source) uint32 {
	t.Helper()
	h, err := readHead(src, ondisk.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return h.desc.cid
}

// TestUpdateID: a delta to a disk that was changed is refused, by QEMU too; one
// to a disk that was only opened is not.
func TestUpdateID(t *testing.T) {
	l := newLab(t)
	l.img("create -q -f vmdk @disk.vmdk 1M")
	l.img("create -q -f vmdk -F vmdk -b disk.vmdk @delta.vmdk")
	f := l.folder()
	if err := openUpdate(t, f).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := openMemory(f.Get("delta.vmdk")); err != nil {
		t.Errorf("nothing was written: %v", err)
	}
	img := openUpdate(t, f)
	if _, err := img.WriteAt([]byte("x"), 5); err != nil {
		t.Fatal(err)
	}
	if err := img.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := openMemory(f.Get("delta.vmdk")); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("the base has changed: %v", err)
	}
	l.save(f)
	l.img("check -q -f vmdk @disk.vmdk")
	if out := l.img("info -f vmdk @disk.vmdk"); !strings.Contains(out, fmt.Sprintf("cid: %d", idOf(t, f.Get("disk.vmdk")))) {
		t.Errorf("qemu-img sees another CID: %s", out)
	}
}

// TestNextID wants no digit more, no number twice in a row, never "no CID".
func TestNextID(t *testing.T) {
	for digits := 1; digits <= 8; digits++ {
		id := uint32(1)
		for range 1000 {
			next := nextID(id, digits)
			if next == id || len(fmt.Sprintf("%x", next)) > digits || next >= noParent-1 {
				t.Fatalf("%d digits: %x after %x", digits, next, id)
			}
			id = next
		}
	}
}

// TestUpdateLongID keeps the end of the long content id equal to the CID.
func TestUpdateLongID(t *testing.T) {
	f := imagefmttest.NewFolder()
	f.Put("a.bin", make([]byte, 8192))
	content := string(text(typeMonolithicFlat, `RW 16 FLAT "a.bin" 0`)) + "ddb.longContentID = \"fedcba9876543210fedcba9812345678\"\n"
	f.Put("disk.vmdk", []byte(content))
	for range 2 {
		img := openUpdate(t, f)
		if _, err := img.WriteAt([]byte("x"), 5); err != nil {
			t.Fatal(err)
		}
		if err := img.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%08x", idOf(t, f.Get("disk.vmdk")))
		if want := strings.ReplaceAll(content, "12345678", id); id == "12345678" || string(f.Get("disk.vmdk").Bytes()) != want {
			t.Errorf("CID %s: %s", id, f.Get("disk.vmdk").Bytes())
		}
	}
}

// sparseWithout builds a sparse extent by hand that has no grain table yet, for
// three tables and a bit, and no descriptor.
func sparseWithout(redundant bool) []byte {
	h := sparseHeader{
		Magic: sparseMagic, Version: versionPlain, Flags: flagNewlineTest, Capacity: 3*65536 + 8,
		GrainSize: defaultGrainSectors, TableEntries: defaultTableEntries, GDOffset: 2, OverHead: 128,
		NewlineTest: newlineTest,
	}
	if redundant {
		h.Flags, h.RGDOffset = h.Flags|flagRedundantGD, 1
	}
	return append(h.appendTo(nil), make([]byte, 127*sectorSize)...)
}

// TestUpdateMakesTables writes where even the grain table is missing. What QEMU
// does not find by one directory it finds by the other.
func TestUpdateMakesTables(t *testing.T) {
	for _, redundant := range []bool{false, true} {
		l := newLab(t)
		f := imagefmttest.NewFolder()
		f.Put("x.vmdk", sparseWithout(redundant))
		f.Put("disk.vmdk", text(typeSplitSparse, extentText(3*65536+8, "SPARSE", "x.vmdk")))
		img := openUpdate(t, f)
		twin := make([]byte, img.Size())
		if _, err := img.WriteAt(make([]byte, 1<<20), 31<<20); err != nil || f.Get("x.vmdk").Size() != 64<<10 {
			t.Errorf("zeros were stored: %v", err)
		}
		for _, off := range []int{32<<20 - 100_000, 96 << 20} {
			p := twin[off:min(off+200_000, len(twin))]
			copy(p, bytes.Repeat([]byte("data"), 50_000))
			if _, err := img.WriteAt(p, int64(off)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := readAll(img); err != nil || !bytes.Equal(got, twin) {
			t.Errorf("redundant %v: we read another disk: %v", redundant, err)
		}
		l.save(f)
		if !bytes.Equal(l.truth("disk.vmdk"), twin) {
			t.Errorf("redundant %v: qemu-img reads another disk", redundant)
		}
		if r, err := (Format{}).Check(t.Context(), f.Get("disk.vmdk"), imagefmt.OpenOptions{}, nil); err != nil || r.Corrupt != 0 {
			t.Errorf("redundant %v: check: %v, %+v", redundant, err, r)
		}
	}
}

// TestUpdateRefuse refuses what cannot be changed, and names the way out.
func TestUpdateRefuse(t *testing.T) {
	l := newLab(t)
	l.write("in.raw", guestDisk(1<<20, 41))
	l.img("convert -f raw -O vmdk @in.raw @base.vmdk")
	l.img("create -q -f vmdk -F vmdk -b base.vmdk @delta.vmdk")
	l.img("convert -f raw -O vmdk -o subformat=streamOptimized @in.raw @stream.vmdk")
	f := l.folder()
	f.Put("cowd.vmdk", cowd(make([]byte, 1<<20), 1))
	f.Put("a.bin", make([]byte, 1<<20))
	dirty := l.read("base.vmdk")
	dirty[72] = 1
	base := l.read("base.vmdk")
	lines := func(create string, lines ...string) []byte { return text(create, lines...) }
	for name, content := range map[string][]byte{
		"delta":     l.read("delta.vmdk"),
		"stream":    l.read("stream.vmdk"),
		"dirty":     dirty,
		"snapshot":  lines(typeVMFSSparse, `RW 2048 VMFSSPARSE "cowd.vmdk"`),
		"COWD":      lines(typeCustom, `RW 2048 SPARSE "cowd.vmdk"`),
		"read-only": lines(typeCustom, `RDONLY 2048 FLAT "a.bin" 0`),
		"packed":    lines(typeCustom, `RW 2048 SPARSE "stream.vmdk"`),
		"tracked":   bytes.Replace(lines(typeMonolithicFlat, `RW 2048 FLAT "a.bin" 0`), []byte("version=1"), []byte("version=1\nchangeTrackPath=\"a-ctk.vmdk\""), 1),
	} {
		f.Put("disk.vmdk", content)
		before := f.Get("disk.vmdk").Bytes()
		_, err := Format{}.Update(context.Background(), f.Get("disk.vmdk"), imagefmt.OpenOptions{})
		if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), "use convert") {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, f.Get("disk.vmdk").Bytes()) {
			t.Errorf("%s: it was changed", name)
		}
	}
	overlap := bytes.Clone(base)
	copy(overlap[48:56], overlap[56:64]) // no redundancy, then
	for name, content := range map[string][]byte{
		"itself":               lines(typeCustom, `RW 1 FLAT "disk.vmdk" 0`),
		"twice":                lines(typeCustom, `RW 16 FLAT "a.bin" 0`, `RW 16 FLAT "a.bin" 15`),
		"directory in a table": patched(base, 48, []byte{27, 0, 0, 0, 0, 0, 0, 0}),
	} {
		f.Put("disk.vmdk", content)
		if _, err := (Format{}).Update(context.Background(), f.Get("disk.vmdk"), imagefmt.OpenOptions{}); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A grain that lies in the tables is found by the write that would hit it.
	f.Put("disk.vmdk", patched(base, 27*sectorSize, []byte{22, 0, 0, 0}))
	if _, err := openUpdate(t, f).WriteAt([]byte("x"), 5); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("a grain in a table: %v", err)
	}
	// An extent of zeros takes zeros.
	f.Put("disk.vmdk", lines(typeCustom, `RW 16 FLAT "a.bin" 0`, `RW 16 ZERO`))
	img := openUpdate(t, f)
	if _, err := img.WriteAt(make([]byte, 10), 9000); err != nil {
		t.Error(err)
	}
	if n, err := img.WriteAt([]byte("xyz"), 8191); n != 1 || !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("%d, %v", n, err)
	}
}

// TestConcurrent reads by many goroutines while one writes to another place.
func TestConcurrent(t *testing.T) {
	content := guestDisk(2<<20, 51)
	f := imagefmttest.NewFolder()
	f.Put("disk.vmdk", smallSparse(t, content))
	img := openUpdate(t, f)
	const half = 1 << 20
	var wg sync.WaitGroup
	for k := range int64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewSource(k))
			buf := make([]byte, 10_000)
			for range 200 {
				off := rng.Int63n(half - int64(len(buf)))
				if err := ondisk.Full(img, buf, off); err != nil || !bytes.Equal(buf, content[off:][:len(buf)]) {
					t.Errorf("at %d: %v", off, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := int64(0); i < 100; i++ {
			if _, err := img.WriteAt(bytes.Repeat([]byte{byte(i)}, 5000), half+i*7000); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// TestUpdateOnHost changes a disk of several files in one transaction.
func TestUpdateOnHost(t *testing.T) {
	for _, kind := range []string{typeMonolithicFlat, typeSplitSparse} {
		l := newLab(t)
		twin := guestDisk(3<<20, 71)
		l.write("in.raw", twin)
		l.img("convert -f raw -O vmdk -o subformat=" + kind + " @in.raw @disk.vmdk")
		txn := osfile.Begin(osfile.TxnOptions{})
		t.Cleanup(func() { txn.Close() })
		file, err := txn.File(t.Context(), l.path("disk.vmdk"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := imagefmt.NewRegistry(Format{}).OpenUpdate(t.Context(), file, "", imagefmt.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		scribble(t, img, twin, 72, 100)
		if err := errors.Join(img.Flush(t.Context()), txn.Commit(t.Context()), img.Close(), txn.Close()); err != nil {
			t.Fatal(err)
		}
		l.write("twin.raw", twin)
		l.img("compare -f raw -F vmdk @twin.raw @disk.vmdk")
	}
}

// TestUpdateFull fills a disk whose file cannot grow to where a table could point.
func TestUpdateFull(t *testing.T) {
	f := imagefmttest.NewFolder()
	f.Put("x.vmdk", sparseWithout(true))
	if err := f.Get("x.vmdk").Truncate(1<<32*sectorSize - 3*grainBytes); err != nil {
		t.Fatal(err)
	}
	f.Put("disk.vmdk", text(typeSplitSparse, extentText(3*65536+8, "SPARSE", "x.vmdk")))
	img := openUpdate(t, f)
	if _, err := img.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := img.WriteAt(bytes.Repeat([]byte("x"), 3*grainBytes), 0); !errors.Is(err, ondisk.ErrNoSpace) {
		t.Errorf("%v", err)
	}
}
