package vhdx

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestRead reads what qemu-img makes, in all its ways.
func TestRead(t *testing.T) {
	for seed, opts := range []string{
		"subformat=dynamic",
		"subformat=fixed",
		"block_size=1M",
		"block_size=1M,block_state_zero=off",
		"block_size=2M,log_size=3M",
		"block_size=32M",
		"block_size=256M",
		"block_size=16M,subformat=fixed",
	} {
		t.Run(opts, func(t *testing.T) {
			b := newBench(t)
			content := pattern(6<<20+512, int64(seed))
			b.write("in.raw", content)
			if strings.Contains(opts, "block_state_zero=off") {
				// QEMU warns of that option in conversions, which rely on zeros.
				b.img("create -q -f vhdx -o " + opts + " @disk.vhdx 6291968")
				b.io("disk.vhdx", "write -P 1 3M 3M", "write -P 2 1M 512", "write -z 4M 100k")
				content = b.truth("disk.vhdx")
			} else {
				b.img("convert -f raw -O vhdx -o " + opts + " @in.raw @disk.vhdx")
			}
			f := b.load("disk.vhdx")
			img := openIn(t, f, "disk.vhdx")
			imagefmttest.Device(t, img, content)
			expectChecked(t, f.Get("disk.vhdx"))
			if got, want := img.Info().Variant == "fixed", strings.Contains(opts, "fixed"); got != want {
				t.Errorf("variant %s", img.Info().Variant)
			}
			expectMap(t, img)
		})
	}
}

// expectMap wants the map to agree with the extents, and to know where bytes lie.
func expectMap(t testing.TB, img imagefmt.Image) {
	t.Helper()
	at := int64(0)
	for e, err := range imagefmt.Map(context.Background(), img, 0, img.Size()) {
		if err != nil || e.Off != at {
			t.Fatalf("%+v at %d: %v", e, at, err)
		}
		if e.State != imagefmt.Stored {
			x, err := blockdev.NextExtent(img, e.Off, e.Len)
			if err != nil || x.Kind != blockdev.Zero {
				t.Errorf("%+v is not zeros: %+v, %v", e, x, err)
			}
		} else if e.HostOff < fixedArea && !img.Info().Dirty || e.File == "" {
			t.Errorf("%+v", e)
		}
		at = e.End()
	}
	if at != img.Size() {
		t.Errorf("the map ends at %d", at)
	}
}

// TestTruncated cuts an image that QEMU made; what is missing is missed.
func TestTruncated(t *testing.T) {
	b := newBench(t)
	b.write("in.raw", pattern(9<<20, 1))
	b.img("convert -f raw -O vhdx -o block_size=1M @in.raw @disk.vhdx")
	whole := b.read("disk.vhdx")
	end := expectChecked(t, imagefmttest.NewSource("x", whole)).End
	for _, cut := range []int64{end / 4, end / 2, end * 3 / 4, end * 99 / 100, end - 1} {
		img, err := Format{}.Open(context.Background(), imagefmttest.NewSource("x", whole[:cut]), imagefmt.OpenOptions{})
		if err == nil {
			err = ondisk.Full(img, make([]byte, img.Size()), 0)
		}
		if !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("cut at %d of %d: %v", cut, end, err)
		}
	}
}

// sectors4K makes the disk of an image one of 4096-byte sectors.
func sectors4K(t testing.TB, f *imagefmttest.MemFile) {
	t.Helper()
	h, err := readHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := readRegions(f, h)
	if err != nil {
		t.Fatal(err)
	}
	table, err := ondisk.Bytes(f, r.metadata.off, metadataItems)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if e := decode[diskItem](table[32+i*32:]); e.ID == itemLogical || e.ID == itemPhysical {
			must(t, f, le.AppendUint32(nil, 4096), r.metadata.off+int64(e.Offset))
		}
	}
}

// TestSectors4K: libvhdi reads the same from a disk of larger sectors.
func TestSectors4K(t *testing.T) {
	b := newBench(t)
	content := pattern(4<<20, 4)
	sink := imagefmttest.NewSink("disk.vhdx")
	create(t, sink, content, "block_size=32M")
	sectors4K(t, sink.File())
	b.save("disk.vhdx", sink.File())
	b.expectLibvhdi(content, "disk.vhdx")
	img, err := Format{}.Open(context.Background(), sink.File(), imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	imagefmttest.Device(t, img, content)
	if l, p := blockdev.SectorSize(img); l != 4096 || p != 4096 {
		t.Errorf("sectors of %d and %d", l, p)
	}
	if n := img.Info().Notices; len(n) != 1 || n[0].ID != "vhdx-sectors" {
		t.Errorf("%+v", n)
	}
}

// TestHeaders: the newer valid header counts, and equal ones are one.
func TestHeaders(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	create(t, sink, pattern(3<<20, 1), "")
	good := sink.File().Bytes()
	patch := func(change func(p []byte)) *imagefmttest.MemFile {
		p := append([]byte(nil), good...)
		change(p)
		return imagefmttest.NewSource("x", p)
	}
	tests := []struct {
		name   string
		change func(p []byte)
		want   error
		off    int64
	}{
		{"both", func([]byte) {}, nil, headerOffset2},
		{"first only", func(p []byte) { p[headerOffset2+100] = 1 }, nil, headerOffset1},
		{"second only", func(p []byte) { p[headerOffset1] = 0 }, nil, headerOffset2},
		{"none", func(p []byte) { p[headerOffset1], p[headerOffset2+5] = 0, p[headerOffset2+5]^1 }, ondisk.ErrCorrupt, 0},
		{"equal", func(p []byte) { copy(p[headerOffset2:][:headerSize], p[headerOffset1:]) }, nil, headerOffset1},
		{"equal numbers", func(p []byte) {
			le.PutUint64(p[headerOffset2+offSequence:], 1)
			p[headerOffset2+offFileWrite] ^= 1
			seal(p[headerOffset2:][:headerSize])
		}, ondisk.ErrCorrupt, 0},
		{"version", func(p []byte) {
			p[headerOffset2+66] = 2
			seal(p[headerOffset2:][:headerSize])
		}, ondisk.ErrUnsupported, 0},
		{"identifier", func(p []byte) { p[0] = 'V' }, ondisk.ErrFormat, 0},
	}
	for _, tt := range tests {
		h, err := readHeader(patch(tt.change))
		if !errors.Is(err, tt.want) || err == nil && h.off != tt.off {
			t.Errorf("%s: %+v, %v", tt.name, h, err)
		}
	}
	r, err := Format{}.Check(context.Background(), patch(func(p []byte) { p[regionOffset1+9], p[headerOffset1] = 1, 0 }), imagefmt.OpenOptions{}, nil)
	if err != nil || r.Corrupt != 2 {
		t.Errorf("check: %v, %q", err, r.Corruptions)
	}
}
