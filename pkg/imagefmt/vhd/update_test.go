package vhd

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// scribble makes random writes of all sizes to an image and to its model, and
// reads some of it back at once.
func scribble(t testing.TB, img imagefmt.WritableImage, model []byte, seed uint64, writes int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	for i := range writes {
		off := r.IntN(len(model))
		n := 1 + r.IntN(1<<r.IntN(17))
		if r.IntN(3) == 0 {
			off, n = off&^511, (n+511)&^511
		}
		n = min(n, len(model)-off)
		p := model[off : off+n]
		if r.IntN(4) == 0 {
			clear(p)
		} else {
			imagefmttest.Fill(p, int64(off), uint64(i))
		}
		if _, err := img.WriteAt(p, int64(off)); err != nil {
			t.Fatalf("seed %d: write %d of %d+%d: %v", seed, i, off, n, err)
		}
		at := r.IntN(len(model))
		got := make([]byte, min(1+r.IntN(20_000), len(model)-at))
		if err := ondisk.Full(img, got, int64(at)); err != nil || !bytes.Equal(got, model[at:at+len(got)]) {
			t.Fatalf("seed %d: after write %d: read of %d+%d differs (%v)", seed, i, at, len(got), err)
		}
	}
	if err := errors.Join(img.Flush(context.Background()), img.Sync()); err != nil {
		t.Fatal(err)
	}
}

func update(t testing.TB, f *imagefmttest.MemFile) imagefmt.WritableImage {
	t.Helper()
	img, err := registry.OpenUpdate(context.Background(), f, "vhd", imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestUpdate makes 2000 random writes to images of QEMU and of our own; QEMU,
// libvhdi and 7-Zip then read what the model has.
func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	content := pattern(12<<20, 3)
	raw := saveBytes(t, content, dir, "in.raw")
	tests := map[string]func() *imagefmttest.MemFile{
		"ours":       func() *imagefmttest.MemFile { return created(t, content, "") },
		"ours, 512k": func() *imagefmttest.MemFile { return created(t, content, "block_size=512k") },
		"ours, fixed": func() *imagefmttest.MemFile {
			return created(t, content, "subformat=fixed")
		},
		"empty": func() *imagefmttest.MemFile { return created(t, make([]byte, 12<<20), "") },
		"bitmaps by sector": func() *imagefmttest.MemFile {
			return imagefmttest.NewSource("x", smallDynamic(content, 2<<20))
		},
		"511": func() *imagefmttest.MemFile {
			f := created(t, content, "")
			if err := f.Truncate(f.Size() - 1); err != nil {
				t.Fatal(err)
			}
			return f
		},
	}
	for _, options := range []string{"subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"} {
		tests["QEMU "+options] = func() *imagefmttest.MemFile {
			path := filepath.Join(dir, "q.vhd")
			testtool.Run(t, "qemu-img", "convert", "-t", "unsafe", "-f", "raw", "-O", "vpc", "-o", options, raw, path)
			return load(t, path)
		}
	}
	seed := uint64(0)
	for name, make := range tests {
		seed++
		t.Run(name, func(t *testing.T) {
			f := make()
			before, err := readTail(f)
			if err != nil {
				t.Fatal(err)
			}
			img := update(t, f)
			model, err := readAll(img)
			if err != nil {
				t.Fatal(err)
			}
			scribble(t, img, model, seed, 2000)
			if err := img.Close(); err != nil {
				t.Fatal(err)
			}
			imagefmttest.Device(t, open(t, f), model)
			expectCheck(t, f, 0, 0)
			after, err := readTail(f)
			if err != nil || !bytes.Equal(after.raw, before.raw) {
				t.Errorf("the footer changed: %v", err)
			}
			path := save(t, f, t.TempDir(), "x.vhd")
			if name == "511" {
				return // which none of the others knows
			}
			same(t, "libvhdi", pyvhdi(t, path), model)
			same(t, "QEMU", qemuImg(t, path), model)
			same(t, "7-Zip", sevenZip(t, path), model)
		})
	}
}

// TestUpdateByTurns: QEMU adds blocks to what we added blocks to, and we again.
func TestUpdateByTurns(t *testing.T) {
	model := make([]byte, 40<<20)
	f := created(t, model, "")
	path := filepath.Join(t.TempDir(), "x.vhd")
	for turn := range byte(3) {
		at := int(turn) * 10 << 20
		img := update(t, f)
		p := bytes.Repeat([]byte{turn + 1}, 3<<20)
		if _, err := img.WriteAt(p, int64(at)); err != nil {
			t.Fatal(err)
		}
		copy(model[at:], p)
		if err := img.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		saveBytes(t, f.Bytes(), filepath.Dir(path), "x.vhd")
		testtool.Run(t, "qemu-io", "-t", "unsafe", "-f", "vpc", "-c", "write -P 77 "+[]string{"5M", "15M", "25M"}[turn]+" 1M", path)
		copy(model[at+5<<20:], bytes.Repeat([]byte{77}, 1<<20))
		f = load(t, path)
		imagefmttest.Device(t, open(t, f), model)
		expectCheck(t, f, 0, 0)
	}
}

// TestUpdateSparse: zeros that are written to what is not stored stay so, and
// sectors that were not stored are zeros around what is written to them.
func TestUpdateSparse(t *testing.T) {
	f := created(t, make([]byte, 40<<20), "")
	size := f.Size()
	img := update(t, f)
	if _, err := img.WriteAt(make([]byte, 5<<20), 1<<20); err != nil || f.Size() != size {
		t.Errorf("zeros: %v; %d bytes of file after %d", err, f.Size(), size)
	}
	d := differencing{dynamic: true, blockSize: 4096, size: 8192}
	d.write(1024, []byte("x"))
	image := d.bytes()
	junk := bytes.Repeat([]byte{0xee}, 4096)
	const pos = footerSize + headerSize + sectorSize + sectorSize // a table and a bitmap later
	copy(image[pos:], junk[:1024])
	copy(image[pos+1536:], junk[:2560])
	f = imagefmttest.NewSource("x", image)
	img = update(t, f)
	want := make([]byte, 8192)
	want[1024] = 'x'
	for _, at := range []int64{100, 1600, 3583, 4095, 4096} {
		if _, err := img.WriteAt([]byte("yy"), at); err != nil {
			t.Fatal(err)
		}
		copy(want[at:], "yy")
		imagefmttest.Device(t, img, want)
	}
}

// TestUpdateRefuse names what is not changed in place, and why.
func TestUpdateRefuse(t *testing.T) {
	content := pattern(5<<20, 1)
	imagefmttest.Fill(content[:1000], 0, 1)
	imagefmttest.Fill(content[2<<20:][:1000], 0, 1)
	good := created(t, content, "").Bytes()
	child := differencing{blockSize: 4096, size: 8192, name: "base.vhd"}
	overlap := bytes.Clone(good)
	copy(overlap[1540:1544], overlap[1536:1540])
	saved := bytes.Clone(good)
	patchFooter(saved, len(saved)-footerSize, func(p []byte) { p[84] = 1 })
	for name, tt := range map[string]struct {
		image []byte
		want  error
	}{
		"differencing": {child.bytes(), ondisk.ErrUnsupported},
		"saved state":  {saved, ondisk.ErrUnsupported},
		"copy only":    {good[:len(good)-footerSize], ondisk.ErrCorrupt},
		"overlap":      {overlap, ondisk.ErrCorrupt},
	} {
		_, err := registry.OpenUpdate(t.Context(), imagefmttest.NewSource("x", tt.image), "vhd", imagefmt.OpenOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
