package vdi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// scribble makes random writes of all sizes to an image and to its model, and
// reads some of it back at once.
func scribble(t testing.TB, img imagefmt.WritableImage, model []byte, seed uint64, writes int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	got := make([]byte, 100_000)
	for i := range writes {
		off := rng.IntN(len(model))
		n := min(1+rng.IntN(1<<rng.IntN(18)), len(model)-off)
		if i%50 == 0 {
			n = min(rng.IntN(3*mib), len(model)-off)
		}
		p := model[off : off+n]
		if rng.IntN(4) == 0 {
			clear(p)
		} else {
			imagefmttest.Fill(p, int64(off), seed<<32+uint64(i))
		}
		if m, err := img.WriteAt(p, int64(off)); err != nil || m != n {
			t.Fatalf("seed %d: write %d of %d+%d: %d, %v", seed, i, off, n, m, err)
		}
		at := rng.IntN(len(model))
		g := got[:min(len(got), len(model)-at)]
		if err := ondisk.Full(img, g, int64(at)); err != nil || !bytes.Equal(g, model[at:at+len(g)]) {
			t.Fatalf("seed %d: after write %d: reading %d+%d differs (%v)", seed, i, at, len(g), err)
		}
	}
	if err := errors.Join(img.Flush(context.Background()), img.Sync()); err != nil {
		t.Fatal(err)
	}
}

func update(t testing.TB, f imagefmt.File) imagefmt.WritableImage {
	t.Helper()
	img, err := Format{}.Update(context.Background(), f, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestUpdate scribbles over images of QEMU and of our own; qemu-img then finds
// the tables without error, and the content as the model has it.
func TestUpdate(t *testing.T) {
	const size = 24*mib + 512
	tests := []struct {
		name, create string
		writes       int
	}{
		{"qemu dynamic", "convert -f raw -O vdi @in.raw @disk.vdi", 2000},
		{"qemu static", "convert -f raw -O vdi -o static=on @in.raw @disk.vdi", 2000},
		{"qemu empty", "create -q -f vdi @disk.vdi 24M", 300},
		{"own dynamic", "", 300},
	}
	for seed, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			model := pattern(size, uint64(seed))
			b.write("in.raw", model)
			if tt.create == "" {
				b.create("disk.vdi", size, model, imagefmt.CreateOptions{})
			} else {
				b.img(tt.create)
			}
			before := b.read("disk.vdi")
			f := imagefmttest.NewSource("disk.vdi", before)
			img := update(t, f)
			if img.Size() != size {
				model = make([]byte, img.Size())
			}
			scribble(t, img, model, uint64(seed), tt.writes)
			imagefmttest.Device(t, img, model)
			after := f.Bytes()
			b.write("disk.vdi", after)
			b.write("truth.raw", model)
			b.expectSame("disk.vdi", "truth.raw")
			expectPatched(t, before[:0x200], after[:0x200])
		})
	}
}

// expectPatched: the header differs in the number of blocks and the modification
// UUID alone.
func expectPatched(t *testing.T, before, after []byte) {
	t.Helper()
	if bytes.Equal(before[0x198:0x1a8], after[0x198:0x1a8]) {
		t.Error("the modification UUID is the old one")
	}
	want := bytes.Clone(before)
	copy(want[0x184:0x188], after[0x184:])
	copy(want[0x198:0x1a8], after[0x198:])
	if !bytes.Equal(want, after) {
		t.Error("more of the header changed")
	}
}

// TestUpdateLayouts changes images of other block sizes, some with bytes behind
// the last block that must not show.
func TestUpdateLayouts(t *testing.T) {
	for _, s := range []layoutSpec{
		{blockBits: 12, headerLen: 0x190, mapOff: 0x200, dataOff: 0x3000},
		{blockBits: 16, extra: 512, headerLen: 0x190, mapOff: 0x200, dataOff: 0x1000},
		{blockBits: 22, extra: 100, headerLen: 0x180, mapOff: 0x200, dataOff: 0x400},
	} {
		t.Run(fmt.Sprint(s.blockBits), func(t *testing.T) {
			model := pattern(9*mib+512, 4)
			s.diskSize = len(model)
			block := 1 << s.blockBits
			stored := uint32(0)
			for at := 0; at < len(model); at += block {
				part := model[at:min(at+block, len(model))]
				switch {
				case !ondisk.IsZero(part):
					s.entries = append(s.entries, stored)
					stored++
				case at%3 == 0:
					s.entries = append(s.entries, entryZero)
				default:
					s.entries = append(s.entries, entryAbsent)
				}
			}
			content := s.build(model)
			end := s.dataOff + int(stored)*(block+s.extra)
			for i := range content[end:] {
				content[end+i] = 0xdb
			}
			f := imagefmttest.NewSource("disk.vdi", content[:min(len(content), end+block*3/2)])
			scribble(t, update(t, f), model, 1, 500)
			imagefmttest.Device(t, openMem(t, f.Bytes()), model)
			r, err := Format{}.Check(t.Context(), f, imagefmt.OpenOptions{}, nil)
			if err != nil || r.Corrupt != 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// TestUpdateTransaction changes a file of the host as the program does: nothing
// shows before the commit, all of it after.
func TestUpdateTransaction(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	model := pattern(9*mib, 8)
	b.write("in.raw", model)
	b.img("convert -f raw -O vdi @in.raw @disk.vdi")
	txn := osfile.Begin(osfile.TxnOptions{})
	defer txn.Close()
	f, err := txn.File(ctx, b.path("disk.vdi"))
	if err != nil {
		t.Fatal(err)
	}
	before := b.read("disk.vdi")
	scribble(t, update(t, f), model, 8, 200)
	if !bytes.Equal(b.read("disk.vdi"), before) {
		t.Error("the file changed before the commit")
	}
	if err := errors.Join(txn.Commit(ctx), txn.Close()); err != nil {
		t.Fatal(err)
	}
	b.write("truth.raw", model)
	b.expectSame("disk.vdi", "truth.raw")
}

// TestUpdateNothing: reads, and zeros over nothing, change nothing.
func TestUpdateNothing(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f vdi @disk.vdi 5M")
	f := imagefmttest.NewSource("disk.vdi", b.read("disk.vdi"))
	f.OnWrite = func(off int64, n int) error { return fmt.Errorf("wrote %d+%d", off, n) }
	img := update(t, f)
	if _, err := img.WriteAt(make([]byte, 5*mib), 0); err != nil {
		t.Error(err)
	}
	if err := img.Flush(context.Background()); err != nil {
		t.Error(err)
	}
}
