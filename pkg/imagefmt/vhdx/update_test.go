package vhdx

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func openUpdate(t testing.TB, f *imagefmttest.MemFile) imagefmt.WritableImage {
	t.Helper()
	img, err := Format{}.Update(context.Background(), f, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// scribble makes random writes of all sizes to an image and to its twin, and
// reads some of it back at once.
func scribble(t testing.TB, img imagefmt.WritableImage, twin []byte, seed int64, writes int) {
	t.Helper()
	rng := rand.New(rand.NewSource(seed))
	for i := range writes {
		n := 1 + rng.Intn(1<<uint(rng.Intn(18)))
		off := rng.Intn(len(twin))
		if rng.Intn(2) == 0 {
			off = off &^ 511
		}
		n = min(n, len(twin)-off)
		p := twin[off : off+n]
		if rng.Intn(4) == 0 {
			clear(p)
		} else {
			rng.Read(p)
		}
		must(t, img, p, int64(off))
		at := rng.Intn(len(twin))
		got := make([]byte, min(1+rng.Intn(70_000), len(twin)-at))
		if err := ondisk.Full(img, got, int64(at)); err != nil || !bytes.Equal(got, twin[at:at+len(got)]) {
			t.Fatalf("seed %d: after write %d: read of %d+%d differs (%v)", seed, i, at, len(got), err)
		}
	}
	if err := errors.Join(img.Flush(context.Background()), img.Sync()); err != nil {
		t.Fatal(err)
	}
}

// TestUpdate scribbles 2000 times over images that qemu-img and we made; qemu-img
// then finds no fault with them, and the content as the twin has it.
func TestUpdate(t *testing.T) {
	tests := []struct{ name, create string }{
		{"dynamic", "create -q -f vhdx -o block_size=1M @disk.vhdx 40M"},
		{"converted", "convert -f raw -O vhdx -o block_size=2M @in.raw @disk.vhdx"},
		{"fixed", "create -q -f vhdx -o subformat=fixed,block_size=1M @disk.vhdx 12M"},
		{"ours", ""},
	}
	for seed, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(11<<20+512, int64(seed)))
			if tt.create == "" {
				sink := imagefmttest.NewSink("disk.vhdx")
				create(t, sink, b.read("in.raw"), "")
				b.save("disk.vhdx", sink.File())
			} else {
				b.img(tt.create)
			}
			twin := b.truth("disk.vhdx")
			f := b.load("disk.vhdx").Get("disk.vhdx")
			img := openUpdate(t, f)
			scribble(t, img, twin, int64(seed), 1000)
			scribble(t, openUpdate(t, f), twin, int64(seed+100), 1000)
			expectChecked(t, f)
			b.save("disk.vhdx", f)
			b.img("check -f vhdx @disk.vhdx")
			expectSame(t, "qemu-img", b.truth("disk.vhdx"), twin)
			b.expectLibvhdi(twin, "disk.vhdx")
			if tt.name == "fixed" && openIn(t, b.load("disk.vhdx"), "disk.vhdx").Info().Variant != "fixed" {
				t.Error("no longer fixed")
			}
			// QEMU goes on where we stopped.
			b.io("disk.vhdx", "write -P 9 3M 1M", "read -P 9 3M 1M")
		})
	}
}

// TestUpdateHeaders: the first change renews the identities in both headers, and
// only those; reading, and zeros over nothing, change nothing.
func TestUpdateHeaders(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	create(t, sink, make([]byte, 8<<20), "")
	f := sink.File()
	must(t, f, []byte("foreign"), headerOffset2+1000)
	raw, err := ondisk.Bytes(f, headerOffset2, headerSize)
	if err != nil {
		t.Fatal(err)
	}
	seal(raw)
	must(t, f, raw, headerOffset2)
	before := f.Bytes()
	img := openUpdate(t, f)
	must(t, img, make([]byte, 100_000), 1<<20)
	if !bytes.Equal(before, f.Bytes()) {
		t.Error("zeros over nothing changed the image")
	}
	old, err := readHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	must(t, img, []byte("data"), 1<<20)
	now, err := readHeader(f)
	if err != nil || !now.both {
		t.Fatalf("%+v, %v", now, err)
	}
	if now.Sequence != old.Sequence+2 || now.FileWrite == old.FileWrite || now.DataWrite == old.DataWrite || now.FileWrite == now.DataWrite {
		t.Errorf("%+v after %+v", now.diskHeader, old.diskHeader)
	}
	if !bytes.Equal(now.raw[1000:1007], []byte("foreign")) {
		t.Error("foreign bytes of the header are lost")
	}
	must(t, img, []byte("data"), 5<<20)
	if again, err := readHeader(f); err != nil || again.DataWrite != now.DataWrite {
		t.Errorf("a second change: %v, %v", again, err)
	}
}

// TestUpdateKeepsRoom: a block that is unmapped keeps its room, and a block whose
// end is missing keeps what is behind it; new blocks go elsewhere.
func TestUpdateKeepsRoom(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	content := pattern(8<<20, 5)
	create(t, sink, content, "subformat=fixed")
	f := sink.File()
	h, _ := readHeader(f)
	r, _, err := readRegions(f, h)
	if err != nil {
		t.Fatal(err)
	}
	word, err := ondisk.Bytes(f, r.bat.off+8, 8)
	if err != nil {
		t.Fatal(err)
	}
	word[0] = word[0]&^stateMask | unmapped
	must(t, f, word, r.bat.off+8)
	clear(content[2<<20 : 4<<20])
	before := f.Size()
	img := openUpdate(t, f)
	must(t, img, []byte("new"), 3<<20)
	copy(content[3<<20:], "new")
	expectSame(t, "changed", readAll(t, img), content)
	expectSame(t, "opened again", readAll(t, openMem(t, f)), content)
	if f.Size() != before+2<<20 {
		t.Errorf("%d bytes after %d", f.Size(), before)
	}
}
