package vhdx

import (
	"context"
	"errors"
	"math/rand"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// locatorItem is a parent locator as Hyper-V writes it.
func locatorItem(pairs ...string) []byte {
	n := len(pairs) / 2
	p := make([]byte, 20+12*n)
	encode(p, diskLocator{Type: locatorVHDX, Count: uint16(n)})
	text := func(s string) (off uint32, length uint16) {
		off = uint32(len(p))
		for _, u := range utf16.Encode([]rune(s)) {
			p = le.AppendUint16(p, u)
		}
		return off, uint16(len(p) - int(off))
	}
	for i := range n {
		var e diskLocatorEntry
		e.Key, e.KeyLength = text(pairs[2*i])
		e.Value, e.ValueLength = text(pairs[2*i+1])
		encode(p[20+12*i:], e)
	}
	return p
}

// differ turns a dynamic image into one that differs from a parent, with the given
// locator. Its blocks are then partly present: the sectors of which random bits
// say so, and each block where it is random.
func differ(t testing.TB, f *imagefmttest.MemFile, locator []byte, rng *rand.Rand) {
	t.Helper()
	tab, err := readTables(f, ondisk.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	meta := tab.regions.metadata.off
	must(t, f, le.AppendUint32(nil, hasParent), meta+metadataItems+4)
	must(t, f, le.AppendUint16(nil, 6), meta+10)
	item := make([]byte, 32)
	encode(item, diskItem{ID: itemParent, Offset: metadataItems + 4096, Length: uint32(len(locator)), Flags: itemRequired})
	must(t, f, item, meta+32+5*32)
	must(t, f, locator, meta+metadataItems+4096)

	g := tab.geometry
	g.diff = true
	bitmaps := ondisk.AlignUp(f.Size(), mib)
	chunks := ondisk.DivUp(g.blocks(), g.chunkRatio())
	if err := f.Truncate(bitmaps + chunks*bitmapSize); err != nil {
		t.Fatal(err)
	}
	for c := range chunks {
		must(t, f, le.AppendUint64(nil, uint64(bitmaps+c*bitmapSize)|fullyPresent), tab.bat.off+g.bitmapEntry(c*g.chunkRatio())*8)
	}
	for block := range g.blocks() {
		at := tab.bat.off + g.payloadEntry(block)*8
		word, err := ondisk.Bytes(f, at, 8)
		if err != nil {
			t.Fatal(err)
		}
		if word[0]&stateMask != fullyPresent || rng.Intn(3) == 0 {
			continue
		}
		word[0] |= partly
		must(t, f, word, at)
		bits := make([]byte, g.block/g.sector/8)
		for i := range bits {
			switch rng.Intn(4) {
			case 0:
				bits[i] = byte(rng.Intn(256))
			case 1:
				bits[i] = 0xff
			}
		}
		must(t, f, bits, bitmaps+block/g.chunkRatio()*bitmapSize+block%g.chunkRatio()*g.block/g.sector/8)
	}
}

// parentID is the identity that a child's locator names.
func parentID(t testing.TB, f *imagefmttest.MemFile) string {
	t.Helper()
	h, err := readHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	return "{" + strings.ToLower(h.DataWrite.String()) + "}" // libvhdi reads no capitals
}

// TestDiffering builds chains, which libvhdi reads as we do.
func TestDiffering(t *testing.T) {
	for seed, size := range []int{5<<20 + 512, 20 << 20} {
		b := newBench(t)
		folder := imagefmttest.NewFolder()
		rng := rand.New(rand.NewSource(int64(seed)))
		for i, opts := range []string{"block_size=2M", "block_size=1M", "block_size=8M"} {
			name := []string{"base.vhdx", "mid.avhdx", "top.avhdx"}[i]
			sink := folder.Sink(name)
			create(t, sink, pattern(size, int64(10*seed+i)), opts)
			if i > 0 {
				below := []string{"base.vhdx", "mid.avhdx"}[i-1]
				key := keyLinkage // libvhdi knows no other
				locator := locatorItem(key, parentID(t, folder.Get(below)), keyRelative, `.\`+below, keyAbsolute, `C:\disks\`+below)
				differ(t, sink.File(), locator, rng)
			}
			b.save(name, sink.File())
		}
		img := openIn(t, folder, "top.avhdx")
		content := readAll(t, img)
		b.expectLibvhdi(content, "top.avhdx", "mid.avhdx", "base.vhdx")
		imagefmttest.Device(t, img, content)
		expectMap(t, img)
		expectChecked(t, folder.Get("top.avhdx"))
		if img.Info().Variant != "differencing" || img.Info().Backing.Name != "mid.avhdx" {
			t.Errorf("%+v", img.Info())
		}
		closed := folder.Get("base.vhdx").Closed()
		if err := img.Close(); err != nil || folder.Get("base.vhdx").Closed() != closed+1 {
			t.Error("the parent stays open")
		}
	}
}

// TestParent: where it is looked for, and what it must be.
func TestParent(t *testing.T) {
	ctx := context.Background()
	make := func(pairs ...string) *imagefmttest.Folder {
		folder := imagefmttest.NewFolder()
		create(t, folder.Sink("base.vhdx"), pattern(1<<20, 1), "")
		create(t, folder.Sink("top.avhdx"), pattern(1<<20, 2), "")
		for i, p := range pairs {
			switch p {
			case "ID":
				pairs[i] = parentID(t, folder.Get("base.vhdx"))
			}
		}
		differ(t, folder.Get("top.avhdx"), locatorItem(pairs...), rand.New(rand.NewSource(1)))
		return folder
	}
	tests := []struct {
		name  string
		pairs []string
		want  error
	}{
		{"beside", []string{keyLinkage, "ID", keyRelative, `.\base.vhdx`}, nil},
		{"moved", []string{keyLinkage, "ID", keyRelative, `..\old\base.vhdx`}, nil},
		{"absolute only", []string{keyLinkage, "ID", keyAbsolute, `D:\vm\base.vhdx`}, nil},
		{"volume only", []string{keyLinkage, "ID", keyVolume, `\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\base.vhdx`}, nil},
		{"another parent", []string{keyLinkage, "{00000000-0000-0000-0000-000000000001}", keyRelative, "base.vhdx"}, ondisk.ErrCorrupt},
		{"no linkage", []string{keyRelative, "base.vhdx"}, ondisk.ErrCorrupt},
		{"no path", []string{keyLinkage, "ID"}, ondisk.ErrCorrupt},
		{"outside", []string{keyLinkage, "ID", keyRelative, `..\..\etc\passwd`}, ondisk.ErrBlocked},
		{"itself", []string{keyLinkage, "SELF", keyRelative, "top.avhdx"}, ondisk.ErrCorrupt},
	}
	for _, tt := range tests {
		folder := make(tt.pairs...)
		if tt.name == "itself" {
			self := parentID(t, folder.Get("top.avhdx"))
			create(t, folder.Sink("top.avhdx"), pattern(1<<20, 2), "")
			differ(t, folder.Get("top.avhdx"), locatorItem(keyLinkage, self, keyRelative, "top.avhdx"), rand.New(rand.NewSource(1)))
		}
		_, err := registry.Open(ctx, folder.Get("top.avhdx"), layer, imagefmt.OpenOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := (Format{}).Describe(ctx, folder.Get("top.avhdx"), imagefmt.OpenOptions{}); err != nil {
			t.Errorf("%s: Describe: %v", tt.name, err)
		}
		if _, err := registry.OpenUpdate(ctx, folder.Get("top.avhdx"), layer, imagefmt.OpenOptions{}); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%s: Update: %v", tt.name, err)
		}
	}
	if _, err := (Format{}).Open(ctx, make(keyLinkage, "ID", keyRelative, "base.vhdx").Get("top.avhdx"), imagefmt.OpenOptions{}); !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("nobody to open parents: %v", err)
	}
}
