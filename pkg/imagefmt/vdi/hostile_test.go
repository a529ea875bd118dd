package vdi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// small is an image of four blocks of 4 KiB, the second of them absent.
func small() []byte {
	s := layoutSpec{blockBits: 12, headerLen: 0x190, mapOff: 0x200, dataOff: 0x1000, diskSize: 4 << 12, entries: []uint32{2, entryAbsent, 0, 1}}
	return s.build(imagefmttest.Pattern(0, 4<<12, 1))[:0x1000+3<<12]
}

// field is a change of one 32-bit word.
type field struct {
	off   int
	value uint32
}

func with(image []byte, fields ...field) []byte {
	image = bytes.Clone(image)
	for _, f := range fields {
		binary.LittleEndian.PutUint32(image[f.off:], f.value)
	}
	return image
}

// TestRefuse: what cannot be opened is refused by name, with its sentinel.
func TestRefuse(t *testing.T) {
	tests := []struct {
		name   string
		fields []field
		want   error
		word   string
	}{
		{"no signature", []field{{0x40, 1}}, ondisk.ErrFormat, "signature"},
		{"version 0.2", []field{{0x44, 2}}, ondisk.ErrUnsupported, "0.2 is a legacy version"},
		{"version 1.2", []field{{0x44, 0x10002}}, ondisk.ErrUnsupported, "1.2 is not 1.1"},
		{"header size", []field{{0x48, 0x17f}}, ondisk.ErrCorrupt, "header size"},
		{"header over the map", []field{{0x48, 0x1c0}}, ondisk.ErrCorrupt, "map offset"},
		{"giant header", []field{{0x48, 0xffffffff}}, ondisk.ErrCorrupt, "map offset"},
		{"undo", []field{{0x4c, 3}}, ondisk.ErrUnsupported, "undo"},
		{"differencing", []field{{0x4c, 4}}, ondisk.ErrUnsupported, "differencing"},
		{"link", []field{{0x1a8, 0xabcdef12}}, ondisk.ErrUnsupported, "abcdef12-0000"},
		{"type 0", []field{{0x4c, 0}}, ondisk.ErrUnsupported, "type"},
		{"type 5", []field{{0x4c, 5}}, ondisk.ErrUnsupported, "type"},
		{"map in the header", []field{{0x154, 0x1d4}}, ondisk.ErrCorrupt, "map offset"},
		{"map at the end", []field{{0x154, 0xfffffff0}}, ondisk.ErrCorrupt, "data offset"},
		{"data in the map", []field{{0x158, 0x20c}}, ondisk.ErrCorrupt, "data offset"},
		{"data beyond the end", []field{{0x158, 0xffffffff}}, ondisk.ErrCorrupt, "truncated"},
		{"sectors of 4 KiB", []field{{0x168, 4096}}, ondisk.ErrUnsupported, "sector size"},
		{"giant disk", []field{{0x174, 0x7fffffff}}, ondisk.ErrTooBig, "disk size"},
		{"disk of 2^64", []field{{0x170, 0xffffffff}, {0x174, 0xffffffff}}, ondisk.ErrTooBig, "disk size"},
		{"block size 0", []field{{0x178, 0}}, ondisk.ErrCorrupt, "block size"},
		{"block size 4097", []field{{0x178, 4097}}, ondisk.ErrCorrupt, "block size"},
		{"block size 512", []field{{0x178, 512}}, ondisk.ErrUnsupported, "block size"},
		{"block size 2^31", []field{{0x178, 1 << 31}}, ondisk.ErrUnsupported, "block size"},
		{"block extra", []field{{0x17c, 0xffffffff}}, ondisk.ErrUnsupported, "block extra"},
		{"few blocks", []field{{0x180, 3}}, ondisk.ErrCorrupt, "blocks"},
		{"many blocks", []field{{0x180, 0x40000000}}, ondisk.ErrCorrupt, "blocks"},
		{"map beyond the end", []field{{0x180, 0x3fffffff}, {0x158, 0xfffffffc}, {0x154, 0x1d8}}, ondisk.ErrCorrupt, ""},
		{"more than all allocated", []field{{0x184, 5}}, ondisk.ErrCorrupt, "blocks allocated"},
		{"more allocated than stored", []field{{0x184, 4}}, ondisk.ErrCorrupt, "truncated"},
	}
	for _, tt := range tests {
		_, err := Format{}.Open(context.Background(), imagefmttest.NewSource("disk.vdi", with(small(), tt.fields...)), imagefmt.OpenOptions{})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestHugeMap: a map of 4 GiB, in a sparse file, costs what is read of it.
func TestHugeMap(t *testing.T) {
	const blocks = 0x3f000000
	src := imagefmttest.NewSource("disk.vdi", with(small(), field{0x158, 0xfff00000}, field{0x180, blocks}, field{0x178, 1 << 28}, field{0x184, 0}))
	if err := src.Truncate(0xfff00000 + 1<<20); err != nil {
		t.Fatal(err)
	}
	var read int
	src.OnRead = func(_ int64, n int) error { read += n; return nil }
	img, err := Format{}.Open(context.Background(), src, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.ReadAt(make([]byte, 512), 0); err != nil && !errors.Is(err, ondisk.ErrCorrupt) {
		t.Error(err)
	}
	if read > 1<<20 {
		t.Errorf("%d bytes were read", read)
	}
}

// TestBadPlaces: a place that is none is found by the read that needs it, and by
// no other.
func TestBadPlaces(t *testing.T) {
	for _, place := range []uint32{4, 0x7fffffff, 0xfffffffd, 3} { // the last is beyond the file
		img := openMem(t, with(small(), field{0x20c, place}))
		p := make([]byte, 3<<12)
		if _, err := img.ReadAt(p, 0); err != nil {
			t.Errorf("place %#x: a sound block: %v", place, err)
		}
		_, err := img.ReadAt(p[:1], 3<<12)
		if !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("place %#x: %v", place, err)
		}
		if _, err := img.NextExtent(3<<12, 1); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("place %#x: extent: %v", place, err)
		}
	}
}

// TestCut: a truncated copy is refused at once.
func TestCut(t *testing.T) {
	whole := small()
	for _, n := range []int{len(whole) / 4, len(whole) / 2, len(whole) * 99 / 100, len(whole) - 1} {
		_, err := Format{}.Open(context.Background(), imagefmttest.NewSource("disk.vdi", whole[:n]), imagefmt.OpenOptions{})
		if !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// TestCheck damages an image in each way; what a check calls damage is not
// changed in place.
func TestCheck(t *testing.T) {
	tests := []struct {
		name          string
		image         []byte
		corrupt, leak int
		word          string
	}{
		{"sound", small(), 0, 0, ""},
		{"out of range", with(small(), field{0x20c, 4}), 2, 1, "entry 3: place 4 of 4"},
		{"far out of range", with(small(), field{0x20c, 0xfffffffd}), 2, 1, "entry 3"},
		{"twice", with(small(), field{0x20c, 0}), 2, 1, "entry 3: place 0 is used twice"},
		{"beyond the file", with(small(), field{0x20c, 3}), 2, 1, "truncated"},
		{"count too small", with(small(), field{0x184, 2}), 2, 0, "not among the 2 blocks"},
		{"count too large", with(append(small(), make([]byte, 4096)...), field{0x184, 4}), 1, 1, "blocks allocated: 4, and the map has 3"},
		{"leak", append(small(), make([]byte, 4096)...), 0, 1, ""},
		{"gap", with(append(small(), make([]byte, 4096)...), field{0x200, 3}), 1, 1, "place 3 is not among"},
	}
	for _, tt := range tests {
		src := imagefmttest.NewSource("disk.vdi", tt.image)
		r, err := Format{}.Check(t.Context(), src, imagefmt.OpenOptions{}, nil)
		if err != nil || r.Corrupt != tt.corrupt || r.Leaked != tt.leak || !strings.Contains(strings.Join(r.Corruptions, "\n"), tt.word) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
		_, err = Format{}.Update(t.Context(), src, imagefmt.OpenOptions{})
		if errors.Is(err, ondisk.ErrCorrupt) != (tt.corrupt > 0) {
			t.Errorf("%s: update: %v", tt.name, err)
		}
	}
	r, err := Format{}.Check(t.Context(), imagefmttest.NewSource("x", small()), imagefmt.OpenOptions{}, nil)
	if err != nil || r.Allocated != 3 || r.Blocks != 4 || r.End != int64(len(small())) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCheckAgrees: where qemu-img check finds errors, so do we.
func TestCheckAgrees(t *testing.T) {
	b := newBench(t)
	b.write("in.raw", imagefmttest.Pattern(0, 4*mib, 1))
	b.img("convert -f raw -O vdi @in.raw @disk.vdi")
	sound := b.read("disk.vdi")
	for _, f := range []field{{0x200, 0}, {0x200, 1}, {0x204, 9}, {0x208, entryAbsent}, {0x184, 3}} {
		image := with(sound, f)
		b.write("disk.vdi", image)
		r, err := Format{}.Check(t.Context(), imagefmttest.NewSource("x", image), imagefmt.OpenOptions{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, theirs := b.try("check -f vdi @disk.vdi")
		if (r.Corrupt > 0) != (theirs != nil) {
			t.Errorf("%+v: %+v, qemu-img says %v", f, r, theirs)
		}
	}
}

var smallLimits = ondisk.Limits{VirtualSize: 64 << 20, Table: 1 << 20, Cache: 1 << 20}

// FuzzOpen opens, reads, checks and changes images that others have made up.
// Nothing may panic, hang or eat memory; it may well fail. A file that a check
// finds sound can be changed and is then still sound.
func FuzzOpen(f *testing.F) {
	f.Add(small())
	f.Add(with(small(), field{0x4c, 4}))
	f.Add(with(small(), field{0x17c, 0}, field{0x200, entryZero}, field{0x184, 2}))
	f.Add(layoutSpec{blockBits: 13, extra: 512, headerLen: 0x180, mapOff: 0x200, dataOff: 0x400, diskSize: 3 << 13}.build(make([]byte, 3<<13)))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<20 {
			return
		}
		ctx := context.Background()
		opts := imagefmt.OpenOptions{Limits: smallLimits}
		src := imagefmttest.NewSource("fuzz", content)
		if info, err := (Format{}).Describe(ctx, src, opts); err == nil && info.VirtualSize > smallLimits.VirtualSize {
			t.Errorf("%d bytes", info.VirtualSize)
		}
		img, err := Format{}.Open(ctx, src, opts)
		if err != nil {
			return
		}
		got, readErr := readAll(ctx, img)
		check, err := Format{}.Check(ctx, src, opts, nil)
		if err != nil {
			t.Fatal(err)
		}
		if check.Corrupt > 0 {
			return
		}
		if readErr != nil {
			t.Fatalf("the check found nothing: %v", readErr)
		}
		fuzzUpdate(t, src, got, opts)
	})
}

func fuzzUpdate(t *testing.T, file imagefmt.File, model []byte, opts imagefmt.OpenOptions) {
	img, err := Format{}.Update(context.Background(), file, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(model) == 0 || img.Info().ClusterSize > mib {
		return
	}
	for _, off := range []int{0, len(model) / 2, len(model) - 1} {
		p := model[off:min(off+5000, len(model))]
		imagefmttest.Fill(p, int64(off), 3)
		if _, err := img.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(model))
	if _, err := img.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, model) {
		t.Errorf("a change reads otherwise (%v)", err)
	}
	if r, err := (Format{}).Check(context.Background(), file, opts, nil); err != nil || r.Corrupt > 0 {
		t.Errorf("after a change: %+v, %v", r, err)
	}
}
