package qcow2

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"os"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func openUpdate(t testing.TB, f *imagefmttest.Folder, name string) imagefmt.WritableImage {
	t.Helper()
	img, err := registry.OpenUpdate(context.Background(), f.Get(name), "qcow2", imagefmt.OpenOptions{})
	if err != nil {
		t.Fatalf("update %s: %v", name, err)
	}
	return img
}

// scribble makes random writes of all sizes to an image and to its model, and
// reads some of it back at once.
func scribble(t testing.TB, img imagefmt.WritableImage, model []byte, seed int64, writes int) {
	t.Helper()
	rng := rand.New(rand.NewSource(seed))
	for i := range writes {
		n := 1 + rng.Intn(1<<uint(rng.Intn(19)))
		off := rng.Intn(len(model))
		switch rng.Intn(4) {
		case 0:
			off = off &^ 0xffff
			n = (n + 0xffff) &^ 0xffff
		case 1:
			off = off &^ 511
			n = (n + 511) &^ 511
		}
		n = min(n, len(model)-off)
		p := model[off : off+n]
		switch rng.Intn(4) {
		case 0:
			clear(p)
		case 1:
			copy(p, bytes.Repeat([]byte{byte(i)}, n))
		default:
			rng.Read(p)
		}
		if _, err := img.WriteAt(p, int64(off)); err != nil {
			t.Fatalf("seed %d: write %d of %d+%d: %v", seed, i, off, n, err)
		}
		at := rng.Intn(len(model))
		got := make([]byte, min(1+rng.Intn(70_000), len(model)-at))
		if err := ondisk.Full(img, got, int64(at)); err != nil || !bytes.Equal(got, model[at:at+len(got)]) {
			t.Fatalf("seed %d: after write %d: read of %d+%d differs (%v)", seed, i, at, len(got), err)
		}
	}
	if err := errors.Join(img.Flush(context.Background()), img.Sync()); err != nil {
		t.Fatal(err)
	}
}

// TestUpdate scribbles over images of every kind; qemu-img then finds the tables
// without error or leak, and the content as the model has it.
func TestUpdate(t *testing.T) {
	tests := []struct{ name, create string }{
		{"default", "convert -f raw -O qcow2 @in.raw @disk.qcow2"},
		{"empty", "create -q -f qcow2 @disk.qcow2 5M"},
		{"v2", "convert -f raw -O qcow2 -o compat=0.10 @in.raw @disk.qcow2"},
		{"512", "convert -f raw -O qcow2 -o cluster_size=512 @in.raw @disk.qcow2"},
		{"empty 512", "create -q -f qcow2 -o cluster_size=512 @disk.qcow2 20M"},
		{"empty 512, 64 bits", "create -q -f qcow2 -o cluster_size=512,refcount_bits=64 @disk.qcow2 20M"},
		{"4k", "convert -f raw -O qcow2 -o cluster_size=4k @in.raw @disk.qcow2"},
		{"2M", "convert -f raw -O qcow2 -o cluster_size=2M @in.raw @disk.qcow2"},
		{"zlib", "convert -c -f raw -O qcow2 @in.raw @disk.qcow2"},
		{"zlib 4k", "convert -c -f raw -O qcow2 -o cluster_size=4k @in.raw @disk.qcow2"},
		{"zlib v2", "convert -c -f raw -O qcow2 -o compat=0.10 @in.raw @disk.qcow2"},
		{"zstd", "convert -c -f raw -O qcow2 -o compression_type=zstd @in.raw @disk.qcow2"},
		{"extended", "convert -f raw -O qcow2 -o extended_l2=on @in.raw @disk.qcow2"},
		{"extended 16k", "convert -f raw -O qcow2 -o extended_l2=on,cluster_size=16k @in.raw @disk.qcow2"},
		{"extended zlib", "convert -c -f raw -O qcow2 -o extended_l2=on @in.raw @disk.qcow2"},
		{"metadata", "create -q -f qcow2 -o preallocation=metadata @disk.qcow2 5M"},
		{"lazy", "convert -f raw -O qcow2 -o lazy_refcounts=on @in.raw @disk.qcow2"},
		{"refcount 1", "convert -f raw -O qcow2 -o refcount_bits=1 @in.raw @disk.qcow2"},
		{"refcount 2", "convert -f raw -O qcow2 -o refcount_bits=2,cluster_size=512 @in.raw @disk.qcow2"},
		{"refcount 4", "convert -f raw -O qcow2 -o refcount_bits=4 @in.raw @disk.qcow2"},
		{"refcount 8", "convert -c -f raw -O qcow2 -o refcount_bits=8,cluster_size=4k @in.raw @disk.qcow2"},
		{"refcount 32", "convert -f raw -O qcow2 -o refcount_bits=32 @in.raw @disk.qcow2"},
		{"refcount 64", "convert -c -f raw -O qcow2 -o refcount_bits=64 @in.raw @disk.qcow2"},
		{"backing raw", "create -q -f qcow2 -b in.raw -F raw @disk.qcow2 6M"},
		{"backing raw, extended", "create -q -f qcow2 -o extended_l2=on -b in.raw -F raw @disk.qcow2"},
		{"backing raw, 512", "create -q -f qcow2 -o cluster_size=512 -b in.raw -F raw @disk.qcow2"},
	}
	for seed, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(diskSize, int64(seed)))
			b.img(tt.create)
			if !strings.Contains(tt.name, "refcount 1") && !strings.Contains(tt.name, "v2") {
				b.io("disk.qcow2", "write -z 1M 200k", "write -P 3 1100k 1k", "discard 2M 64k")
			}
			model := b.truth("disk.qcow2")
			f := b.folder()
			img := openUpdate(t, f, "disk.qcow2")
			scribble(t, img, model, int64(seed), 150)
			expectSame(t, img, model)
			b.save("disk.qcow2", f.Get("disk.qcow2"))
			b.expectClean("disk.qcow2")
			if got := b.truth("disk.qcow2"); !bytes.Equal(got, model) {
				t.Errorf("seed %d: qemu-img reads another byte at %#x", seed, firstDifference(got, model))
			}
		})
	}
}

// TestUpdateSnapshots writes to an image between and after its snapshots, by
// turns with QEMU. The snapshots stay as they were.
func TestUpdateSnapshots(t *testing.T) {
	for seed, options := range []string{"", "-o compat=0.10", "-o cluster_size=512", "-o extended_l2=on", "-c -o cluster_size=4k", "-c -o compression_type=zstd", "-o refcount_bits=4"} {
		t.Run(options, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(diskSize, int64(seed)))
			b.img("convert -f raw -O qcow2 " + options + " @in.raw @disk.qcow2")
			states := map[string][]byte{}
			model := b.truth("disk.qcow2")
			for round, name := range []string{"one", "two", "three"} {
				b.img("snapshot -c " + name + " @disk.qcow2")
				states[name] = bytes.Clone(model)
				f := b.folder()
				scribble(t, openUpdate(t, f, "disk.qcow2"), model, int64(seed*10+round), 40)
				b.save("disk.qcow2", f.Get("disk.qcow2"))
				b.expectClean("disk.qcow2")
			}
			b.img("snapshot -d two @disk.qcow2")
			f := b.folder()
			scribble(t, openUpdate(t, f, "disk.qcow2"), model, int64(seed*10+9), 40)
			b.save("disk.qcow2", f.Get("disk.qcow2"))
			b.expectClean("disk.qcow2")
			if !bytes.Equal(b.truth("disk.qcow2"), model) {
				t.Error("the active state differs")
			}
			for _, name := range []string{"one", "three"} {
				b.img("convert -l snapshot.name=" + name + " -f qcow2 -O raw @disk.qcow2 @state.raw")
				if !bytes.Equal(b.read("state.raw"), states[name]) {
					t.Errorf("snapshot %s differs", name)
				}
				os.Remove(b.path("state.raw"))
			}
		})
	}
}

// TestUpdateGrowsRefcountTable writes so much to an image of small clusters that
// its refcount table has to move, more than once.
func TestUpdateGrowsRefcountTable(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 -o cluster_size=512,refcount_bits=64 @disk.qcow2 32M")
	before := b.read("disk.qcow2")[offRefcountTable:][:12]
	f := b.folder()
	model := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	img := openUpdate(t, f, "disk.qcow2")
	for off := 0; off < len(model); off += 100_000 {
		if _, err := img.WriteAt(model[off:min(off+100_000, len(model))], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	b.save("disk.qcow2", f.Get("disk.qcow2"))
	b.expectClean("disk.qcow2")
	if bytes.Equal(before, b.read("disk.qcow2")[offRefcountTable:][:12]) {
		t.Error("the table did not move; the test tests nothing")
	}
	if !bytes.Equal(b.truth("disk.qcow2"), model) {
		t.Error("content differs")
	}
}

// TestUpdateInPlace wants no growth when own clusters are written again.
func TestUpdateInPlace(t *testing.T) {
	b := newBench(t)
	b.write("in.raw", bytes.Repeat([]byte("data"), 1<<20))
	b.img("convert -f raw -O qcow2 @in.raw @disk.qcow2")
	f := b.folder()
	size := f.Get("disk.qcow2").Size()
	writes := 0
	f.Get("disk.qcow2").OnWrite = func(int64, int) error { writes++; return nil }
	img := openUpdate(t, f, "disk.qcow2")
	if _, err := img.WriteAt(bytes.Repeat([]byte("new!"), 1<<19), 1<<20); err != nil {
		t.Fatal(err)
	}
	if got := f.Get("disk.qcow2").Size(); got != size || writes > 2 {
		t.Errorf("%d bytes after %d; %d writes", got, size, writes)
	}
}

func TestUpdateBitmaps(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 @disk.qcow2 4M")
	b.img("bitmap --add @disk.qcow2 backup0")
	b.img("bitmap --add @disk.qcow2 another")
	b.patch("disk.qcow2", offAutoclear, be64(autoclearBitmaps|1<<30))
	f := b.folder()
	if _, err := openUpdate(t, f, "disk.qcow2").WriteAt([]byte("x"), 1<<20); err != nil {
		t.Fatal(err)
	}
	b.save("disk.qcow2", f.Get("disk.qcow2"))
	b.expectClean("disk.qcow2")
	if got := b.read("disk.qcow2")[offAutoclear:][:8]; !bytes.Equal(got, be64(autoclearBitmaps)) {
		t.Errorf("autoclear %x", got)
	}
	info := b.img("info -f qcow2 @disk.qcow2")
	if strings.Count(info, "in-use") != 2 {
		t.Errorf("bitmaps are not marked as in use:\n%s", info)
	}
	b.img("bitmap --remove @disk.qcow2 backup0")
}

func TestUpdateRefuse(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 @disk.qcow2 4M")
	b.io("disk.qcow2", "write -P 1 0 1M")
	tests := []struct {
		name  string
		off   int64
		patch []byte
		want  error
	}{
		{"dirty", 72, be64(incompatDirty), ondisk.ErrUnsupported},
		{"corrupt", 72, be64(incompatCorrupt), ondisk.ErrCorrupt},
		{"no refcount table", 56, make([]byte, 4), ondisk.ErrCorrupt},
		{"count of the header", 0x20000, make([]byte, 2), ondisk.ErrCorrupt},
	}
	for _, tt := range tests {
		content := b.read("disk.qcow2")
		copy(content[tt.off:], tt.patch)
		_, err := Format{}.Update(context.Background(), imagefmttest.NewSource("disk", content), imagefmt.OpenOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A count that contradicts the mapping is found by the write that needs it.
	content := b.read("disk.qcow2")
	clear(content[0x20000+5*2 : 0x20000+40])
	img, err := Format{}.Update(context.Background(), imagefmttest.NewSource("disk", content), imagefmt.OpenOptions{})
	if err == nil {
		_, err = img.WriteAt([]byte("x"), 0)
	}
	if !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("lying counts: %v", err)
	}
}
