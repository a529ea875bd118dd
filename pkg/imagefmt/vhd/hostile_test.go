package vhd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestHostile: what the structures claim is checked before it is used.
func TestHostile(t *testing.T) {
	content := imagefmttest.Pattern(0, 5<<20, 1)
	good := created(t, content, "").Bytes()
	both := func(change func(p []byte)) func([]byte) {
		return func(image []byte) {
			patchFooter(image, 0, change)
			patchFooter(image, len(image)-footerSize, change)
		}
	}
	head := func(change func(p []byte)) func([]byte) {
		return func(image []byte) { patchHeader(image, change) }
	}
	tests := []struct {
		name  string
		patch func(image []byte)
		want  error
		text  string
	}{
		{"huge size", both(func(p []byte) { be64(p, 48, 1<<62) }), ondisk.ErrTooBig, "limit"},
		{"negative size", both(func(p []byte) { be64(p, 48, 1<<63) }), ondisk.ErrCorrupt, "negative"},
		{"more than the table has", both(func(p []byte) { be64(p, 48, 1<<40) }), ondisk.ErrCorrupt, "do not hold"},
		{"version", both(func(p []byte) { be32(p, 12, 2<<16) }), ondisk.ErrUnsupported, "2.0"},
		{"type", both(func(p []byte) { be32(p, 60, 5) }), ondisk.ErrUnsupported, "disk type"},
		{"header behind the end", both(func(p []byte) { be64(p, 16, 1<<40) }), ondisk.ErrCorrupt, "data offset"},
		{"header at -1", both(func(p []byte) { be64(p, 16, noOffset) }), ondisk.ErrCorrupt, "data offset"},
		{"fixed, but shorter", both(func(p []byte) { be32(p, 60, typeFixed); be64(p, 48, 1<<30) }), ondisk.ErrCorrupt, "truncated"},
		{"no header", func(p []byte) { p[512] = 'X' }, ondisk.ErrCorrupt, "cookie"},
		{"checksum of the header", func(p []byte) { p[1000] ^= 1 }, ondisk.ErrCorrupt, "checksum"},
		{"version of the header", head(func(p []byte) { be32(p, 24, 3<<16) }), ondisk.ErrUnsupported, "3.0"},
		{"block size 0", head(func(p []byte) { be32(p, 32, 0) }), ondisk.ErrCorrupt, "block size"},
		{"block size 3M", head(func(p []byte) { be32(p, 32, 3<<20) }), ondisk.ErrCorrupt, "block size"},
		{"block size 256", head(func(p []byte) { be32(p, 32, 256) }), ondisk.ErrCorrupt, "block size"},
		{"giant table", head(func(p []byte) { be32(p, 28, 1<<32-1) }), ondisk.ErrCorrupt, "table offset"},
		{"table behind the end", head(func(p []byte) { be64(p, 16, 1<<41) }), ondisk.ErrCorrupt, "table offset"},
		{"table at -1", head(func(p []byte) { be64(p, 16, noOffset) }), ondisk.ErrCorrupt, "table offset"},
		{"block behind the end", func(p []byte) { be32(p, 1540, 1<<31) }, ondisk.ErrCorrupt, "entry 1"},
		{"block ends behind the end", func(p []byte) { be32(p, 1540, uint32(len(p)/sectorSize)-3000) }, ondisk.ErrCorrupt, "ends early"},
		{"block at 0", func(p []byte) { be32(p, 1540, 0) }, ondisk.ErrCorrupt, "entry 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			image := bytes.Clone(good)
			tt.patch(image)
			img, err := registry.Open(t.Context(), imagefmttest.NewSource("x", image), "vhd", imagefmt.OpenOptions{})
			if err == nil {
				_, err = readAll(img)
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestCheck finds blocks that overlap, blocks in the table, room that is lost.
func TestCheck(t *testing.T) {
	content := imagefmttest.Pattern(0, 8<<20, 1)
	good := created(t, content, "").Bytes()
	entry := func(p []byte, i int) uint32 { return binary.BigEndian.Uint32(p[1536+4*i:]) }
	tests := []struct {
		name            string
		patch           func(p []byte)
		corrupt, leaked int
	}{
		{"good", func([]byte) {}, 0, 0},
		{"two at one place", func(p []byte) { be32(p, 1540, entry(p, 0)) }, 1, 1},
		{"half over another", func(p []byte) { be32(p, 1540, entry(p, 2)+2048) }, 2, 2},
		{"over the table", func(p []byte) { be32(p, 1536, 3) }, 1, 1},
		{"over the header", func(p []byte) { be32(p, 1536, 1) }, 2, 1},
		{"at zero", func(p []byte) { be32(p, 1536, 0) }, 1, 1},
		{"behind the end", func(p []byte) { be32(p, 1548, noBlock-1) }, 1, 1},
		{"lost", func(p []byte) { be32(p, 1540, noBlock) }, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			image := bytes.Clone(good)
			tt.patch(image)
			r := expectCheck(t, imagefmttest.NewSource("x", image), tt.corrupt, tt.leaked)
			if r.Blocks != 4 || r.End != int64(len(image)) {
				t.Errorf("result %+v", r)
			}
		})
	}
	fixed := append(make([]byte, 8192), fixedFooter(4096)...)
	expectCheck(t, imagefmttest.NewSource("x", fixed), 0, 1)
}

// TestManyBlocks: a table of millions of entries in a sparse file costs no
// memory, and a check of it has its limit.
func TestManyBlocks(t *testing.T) {
	d := differencing{dynamic: true, blockSize: 512, size: 512}
	image := d.bytes()
	const entries = 64 << 20 // 256 MiB of table, all of it a hole: blocks at 0
	patchHeader(image, func(p []byte) { be32(p, 28, entries); be64(p, 16, 4096) })
	patchFooter(image, 0, func(p []byte) { be64(p, 48, entries*512) })
	f := imagefmttest.NewSource("x", image)
	if err := f.Truncate(4096 + entries*4 + footerSize); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(image[:footerSize], f.Size()-footerSize); err != nil {
		t.Fatal(err)
	}
	img := open(t, f)
	if _, err := img.NextExtent(0, img.Size()); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("NextExtent: %v", err)
	}
	_, err := Format{}.Check(t.Context(), f, imagefmt.OpenOptions{Limits: ondisk.Limits{Table: 1 << 20}}, nil)
	if !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("Check: %v", err)
	}
}

// TestAbsent: the extents of an empty disk are few.
func TestAbsent(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	w, err := Format{}.Create(t.Context(), sink, maxSize, imagefmt.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	img := open(t, sink.File())
	e, err := img.NextExtent(12345, img.Size()-12345)
	if err != nil || e.Len < img.Size()/2 {
		t.Errorf("extent %+v, %v", e, err)
	}
}
