package vhd

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestReadQemu reads what qemu-img wrote, and agrees with it and with libvhdi.
func TestReadQemu(t *testing.T) {
	testtool.Need(t, "qemu-img")
	content := pattern(5<<20+1536, 3)
	dir := t.TempDir()
	raw := saveBytes(t, content, dir, "in.raw")
	for _, options := range []string{
		"subformat=dynamic,force_size=off", "subformat=dynamic,force_size=on",
		"subformat=fixed,force_size=off", "subformat=fixed,force_size=on",
	} {
		t.Run(options, func(t *testing.T) {
			vhd := filepath.Join(dir, "disk.vhd")
			testtool.Run(t, "qemu-img", "convert", "-t", "unsafe", "-f", "raw", "-O", "vpc", "-o", options, raw, vhd)
			src := load(t, vhd)
			if m, err := (Format{}).Probe(src); m != ondisk.Sure || err != nil {
				t.Errorf("Probe: %v, %v", m, err)
			}
			img := open(t, src)
			defer img.Close()
			want := qemuImg(t, vhd) // without force_size qemu-img rounds up to the geometry
			if strings.Contains(options, "force_size=on") && len(want) != len(content) {
				t.Errorf("qemu-img made %d bytes of %d", len(want), len(content))
			}
			imagefmttest.Device(t, img, want)
			same(t, "libvhdi", pyvhdi(t, vhd), want)
			expectCheck(t, src, 0, 0)
		})
	}
}

// expectCheck wants so many findings.
func expectCheck(t *testing.T, src imagefmt.Source, corrupt, leaked int) imagefmt.CheckResult {
	t.Helper()
	r, err := Format{}.Check(t.Context(), src, imagefmt.OpenOptions{}, nil)
	if err != nil || r.Corrupt != corrupt || r.Leaked != leaked {
		t.Errorf("Check: %v; %d corruptions %v, %d leaks %v", err, r.Corrupt, r.Corruptions, r.Leaked, r.Leaks)
	}
	return r
}

// TestCreators: the size is the footer's, whoever wrote it. QEMU goes by the
// geometry for most of these, and loses the end of the disk.
func TestCreators(t *testing.T) {
	const size = 40 << 20
	for _, creator := range []string{"win ", "vpc ", "vs  ", "qemu", "qem2", "tap\x00", "CTXS", "vbox", "d2v\x00", "wa\x00\x00", "\x1b[2J"} {
		image := append(make([]byte, size), fixedFooter(size)...)
		patchFooter(image, size, func(p []byte) { copy(p[28:], creator) })
		img := open(t, imagefmttest.NewSource("x", image))
		info := img.Info()
		if img.Size() != size || info.Variant != "fixed" || strings.Contains(info.Features[0], "\x1b") {
			t.Errorf("%q: size %d, %+v", creator, img.Size(), info)
		}
		old := creator == "vpc " || creator == "vs  "
		if got := noticed(info, "vhd-geometry"); got != old {
			t.Errorf("%q: notice %v", creator, info.Notices)
		}
	}
}

func noticed(info imagefmt.Info, id string) bool {
	for _, n := range info.Notices {
		if n.ID == id {
			return true
		}
	}
	return false
}

// TestFooters: the footer at the end counts, else its copy, if its checksum is right.
func TestFooters(t *testing.T) {
	content := pattern(3<<20, 4)
	dynamic := created(t, content, "").Bytes()
	fixed := created(t, content, "subformat=fixed").Bytes()
	edit := func(p []byte, change func(p []byte) []byte) []byte { return change(bytes.Clone(p)) }
	flip := func(at int) func([]byte) []byte {
		return func(p []byte) []byte {
			p[(at+len(p))%len(p)] ^= 0x10
			return p
		}
	}
	cutTail := func(p []byte) []byte { return p[:len(p)-footerSize] }
	tests := []struct {
		name    string
		image   []byte
		probe   ondisk.Match
		want    error
		notice  bool
		corrupt int
	}{
		{"dynamic", dynamic, ondisk.Sure, nil, false, 0},
		{"fixed", fixed, ondisk.Sure, nil, false, 0},
		{"dynamic of 511", dynamic[:len(dynamic)-1], ondisk.Sure, nil, false, 0},
		{"fixed of 511", fixed[:len(fixed)-1], ondisk.Sure, nil, false, 0},
		{"copy only", edit(dynamic, cutTail), ondisk.Sure, nil, true, 1},
		{"checksum of the tail", edit(dynamic, flip(-1)), ondisk.Sure, nil, true, 1},
		{"checksum of the copy", edit(dynamic, flip(100)), ondisk.Sure, nil, false, 1},
		{"no copy", edit(dynamic, func(p []byte) []byte { clear(p[:footerSize]); return p }), ondisk.Sure, nil, false, 1},
		{"both checksums", flip(100)(edit(dynamic, flip(-1))), ondisk.Sure, ondisk.ErrCorrupt, false, 0},
		{"checksum of a fixed one", edit(fixed, flip(-1)), ondisk.Maybe, ondisk.ErrCorrupt, false, 0},
		{"fixed without", edit(fixed, cutTail), ondisk.None, ondisk.ErrFormat, false, 0},
		{"fixed in fixed", append(edit(fixed, func(p []byte) []byte { return p }), fixedFooter(int64(len(fixed)))...), ondisk.Sure, nil, false, 0},
		{"copy in a fixed one", append(edit(dynamic, func(p []byte) []byte { return p }), fixedFooter(int64(len(dynamic)))...), ondisk.Sure, nil, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := imagefmttest.NewSource("x", tt.image)
			if m, err := (Format{}).Probe(src); m != tt.probe || err != nil {
				t.Errorf("Probe: %v, %v", m, err)
			}
			img, err := registry.Open(t.Context(), src, "vhd", imagefmt.OpenOptions{})
			if !errors.Is(err, tt.want) {
				t.Fatalf("Open: %v", err)
			}
			if err != nil {
				return
			}
			want := content
			switch tt.name {
			case "fixed in fixed":
				want = fixed
			case "copy in a fixed one":
				want = dynamic
			}
			imagefmttest.Device(t, img, want)
			if noticed(img.Info(), "vhd-footer") != tt.notice {
				t.Errorf("notices %v", img.Info().Notices)
			}
			expectCheck(t, src, tt.corrupt, 0)
		})
	}
}

// TestBitmaps: a sector that its bitmap does not have is zeros, whatever lies in
// its place, and a check tells of it.
func TestBitmaps(t *testing.T) {
	content := pattern(300<<10, 5)
	imagefmttest.Fill(content[100<<10:200<<10], 0, 9)
	for _, blockSize := range []int64{512, 4096, 64 << 10, 512 << 10} {
		image := smallDynamic(content, blockSize)
		imagefmttest.Device(t, open(t, imagefmttest.NewSource("x", image)), content)
		hidden := make([]byte, len(content))
		copy(hidden, content)
		r, _ := registry.Open(t.Context(), imagefmttest.NewSource("x", image), "vhd", imagefmt.OpenOptions{})
		pos, err := r.(*sparseImage).blocks.place(150 << 10 / blockSize)
		if err != nil || pos == 0 {
			t.Fatal(pos, err)
		}
		image[pos] &^= 0x80 // the first sector of that block
		clear(hidden[ondisk.AlignDown(150<<10, blockSize):][:sectorSize])
		src := imagefmttest.NewSource("x", image)
		imagefmttest.Device(t, open(t, src), hidden)
		leaks := 1
		if blockSize == 512<<10 && ondisk.IsZero(content[:sectorSize]) {
			leaks = 0
		}
		expectCheck(t, src, 0, leaks)
	}
}

// TestMap: what is not stored is a hole, and data lies where the map says.
func TestMap(t *testing.T) {
	content := make([]byte, 7<<20)
	imagefmttest.Fill(content[2<<20:][:8192], 0, 1)
	imagefmttest.Fill(content[5<<20:], 5<<20, 1)
	for _, options := range []string{"", "block_size=512k"} {
		f := created(t, content, options)
		img := open(t, f)
		var stored int64
		for e, err := range imagefmt.Map(t.Context(), img, 0, img.Size()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.State == imagefmt.Hole {
				same(t, "hole", content[e.Off:e.End()], make([]byte, e.Len))
				continue
			}
			got := make([]byte, e.Len)
			if err := ondisk.Full(f, got, e.HostOff); err != nil {
				t.Fatal(err)
			}
			same(t, "map", got, content[e.Off:e.End()])
			stored += e.Len
			if e.HostOff%ondisk.PageSize != 0 {
				t.Errorf("data at %#x", e.HostOff)
			}
		}
		if stored != 8192+2<<20 {
			t.Errorf("%d bytes are stored", stored)
		}
	}
}

// TestTruncated cuts images; what can still be read must be right.
func TestTruncated(t *testing.T) {
	content := pattern(5<<20, 12)
	for _, options := range []string{"", "block_size=512k", "subformat=fixed"} {
		whole := created(t, content, options).Bytes()
		for _, percent := range []int{1, 25, 50, 75, 99} {
			src := imagefmttest.NewSource("cut", whole[:len(whole)*percent/100])
			img, err := registry.Open(t.Context(), src, "vhd", imagefmt.OpenOptions{})
			var got []byte
			if err == nil {
				got, err = readAll(img)
			}
			if err == nil && bytes.Equal(got, content) && noticed(img.Info(), "vhd-footer") {
				continue // only the unused end of the last block was lost
			}
			if !errors.Is(err, ondisk.ErrCorrupt) && !(options == "subformat=fixed" && errors.Is(err, ondisk.ErrFormat)) {
				t.Errorf("%q cut at %d%%: error %v", options, percent, err)
			}
		}
	}
}

// TestSavedState: a suspended machine's disk is read, and said to be one.
func TestSavedState(t *testing.T) {
	image := append(make([]byte, 4096), fixedFooter(4096)...)
	patchFooter(image, 4096, func(p []byte) { p[84] = 1 })
	f := imagefmttest.NewSource("x", image)
	if info := open(t, f).Info(); !noticed(info, "vhd-saved-state") {
		t.Errorf("notices %v", info.Notices)
	}
	if _, err := (Format{}).Update(context.Background(), f, imagefmt.OpenOptions{}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("Update: %v", err)
	}
}
