package vhd

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const familySize = 6 << 20

// family is a base, a child and a grandchild, and what the last one holds.
func family(t *testing.T) (folder *imagefmttest.Folder, want []byte) {
	t.Helper()
	want = pattern(familySize, 6)
	imagefmttest.Fill(want[1<<20:2<<20], 0, 1)
	folder = imagefmttest.NewFolder()
	base := smallDynamic(want, 2<<20)
	folder.Put("base.vhd", base)
	put := func(name string, d differencing, seed uint64) {
		d.blockSize, d.size = 2<<20, familySize
		for _, off := range []int64{0, 1<<20 + 5120, 3 << 20, familySize - 512*int64(seed)} {
			// To the end of a byte of the bitmap: what follows in the same byte
			// libvhdi 20210425 takes for zeros, and not for the parent's.
			end := ondisk.AlignUp(min(off+1024*int64(seed*seed), familySize), ondisk.PageSize)
			p := imagefmttest.Pattern(off, int(end-off), seed)
			if off == 3<<20 {
				clear(p) // zeros over the parent's data
			}
			d.write(off, p)
			copy(want[off:], p)
		}
		folder.Put(name, d.bytes())
	}
	put("child.vhd", differencing{relative: `.\base.vhd`, name: `C:\vm\base.vhd`}, 3)
	put("grandchild.vhd", differencing{name: `D:\elsewhere\child.vhd`}, 2)
	return folder, want
}

// TestParents reads a chain, as libvhdi does.
func TestParents(t *testing.T) {
	folder, want := family(t)
	img := open(t, folder.Get("grandchild.vhd"))
	imagefmttest.Device(t, img, want)
	info := img.Info()
	if info.Variant != "differencing" || info.Backing == nil || info.Backing.Name != "D:/elsewhere/child.vhd" || len(info.Notices) != 0 {
		t.Errorf("info %+v", info)
	}
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"grandchild.vhd", "child.vhd", "base.vhd"} {
		paths = append(paths, save(t, folder.Get(name), dir, name))
		expectCheck(t, folder.Get(name), 0, 0)
	}
	same(t, "libvhdi", pyvhdi(t, paths...), want)
	depths := map[int]bool{}
	for e, err := range imagefmt.Map(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.State == imagefmt.Stored {
			depths[e.Depth] = true
			got := make([]byte, e.Len)
			if err := ondisk.Full(folder.Get(filepath.Base(e.File)), got, e.HostOff); err != nil || !bytes.Equal(got, want[e.Off:e.End()]) {
				t.Fatalf("entry %+v: %v", e, err)
			}
		}
	}
	if !depths[0] || !depths[1] || !depths[2] {
		t.Errorf("depths %v", depths)
	}
	if err := img.Close(); err != nil || folder.Get("base.vhd").Closed() != 1 || folder.Get("child.vhd").Closed() != 1 {
		t.Errorf("Close: %v, or not all files are closed", err)
	}
}

// TestParentRefused: what is no parent, or not the one, is refused by name.
func TestParentRefused(t *testing.T) {
	base := func(change func(p []byte)) []byte {
		image := smallDynamic(pattern(8192, 1), 4096)
		patchFooter(image, 0, change)
		patchFooter(image, len(image)-footerSize, change)
		return image
	}
	child := func(d differencing) []byte {
		d.blockSize, d.size = 4096, 8192
		return d.bytes()
	}
	named := differencing{relative: `base.vhd`, name: `base.vhd`, parentTime: 1000}
	keep := func([]byte) {}
	longPath := child(named)
	patchHeader(longPath, func(p []byte) { be32(p, 576+24+8, 1<<31) })
	farPath := child(named)
	patchHeader(farPath, func(p []byte) { be64(p, 576+24+16, 1<<63) })
	tests := []struct {
		name   string
		child  []byte
		base   []byte
		want   error
		text   string
		notice bool
	}{
		{"good", child(named), base(keep), nil, "", false},
		{"younger", child(named), base(func(p []byte) { be32(p, 24, 1001) }), nil, "", true},
		{"another UUID", child(named), base(func(p []byte) { p[70] ^= 1 }), ondisk.ErrCorrupt, "UUID", false},
		{"raw", child(named), make([]byte, 8192), ondisk.ErrUnsupported, "not a VHD", false},
		{"itself", child(differencing{name: "child.vhd", uuid: baseUUID}), base(keep), ondisk.ErrCorrupt, "leads back", false},
		{"elsewhere", child(differencing{relative: `..\..\etc\passwd`, name: "x"}), base(keep), ondisk.ErrBlocked, "outside", false},
		{"elsewhere, but here too", child(differencing{relative: `..\base.vhd`, name: `C:\base.vhd`}), base(keep), nil, "", false},
		{"no name", child(differencing{}), base(keep), ondisk.ErrCorrupt, "does not name", false},
		{"a drive", child(differencing{name: `C:\`}), base(keep), ondisk.ErrBlocked, "outside", false},
		{"bomb of a path", longPath, base(keep), ondisk.ErrTooBig, "locator", false},
		{"path behind the end", farPath, base(keep), ondisk.ErrCorrupt, "locator", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := imagefmttest.NewFolder()
			folder.Put("base.vhd", tt.base)
			src := folder.Put("child.vhd", tt.child)
			img, err := registry.Open(t.Context(), src, "vhd", imagefmt.OpenOptions{})
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Open: %v", err)
			}
			if err == nil && noticed(img.Info(), "vhd-parent-time") != tt.notice {
				t.Errorf("notices %v", img.Info().Notices)
			}
			if _, err := (Format{}).Open(t.Context(), src, imagefmt.OpenOptions{}); err == nil {
				t.Error("opened without leave to open parents")
			}
		})
	}
}

// TestCycle: a is over b is over a.
func TestCycle(t *testing.T) {
	folder := imagefmttest.NewFolder()
	for name, over := range map[string]string{"a.vhd": "b.vhd", "b.vhd": "a.vhd"} {
		d := differencing{blockSize: 4096, size: 8192, relative: over, uuid: baseUUID}
		folder.Put(name, d.bytes())
	}
	_, err := registry.Open(t.Context(), folder.Get("a.vhd"), "vhd", imagefmt.OpenOptions{})
	if !errors.Is(err, ondisk.ErrCorrupt) || !strings.Contains(err.Error(), "leads back") {
		t.Errorf("Open: %v", err)
	}
	if folder.Get("b.vhd").Closed() != 1 || folder.Get("a.vhd").Closed() != 1 {
		t.Errorf("closed %d and %d times, not once as parents", folder.Get("a.vhd").Closed(), folder.Get("b.vhd").Closed())
	}
}

// TestDescribeOpensNothing describes an image whose parent is missing.
func TestDescribeOpensNothing(t *testing.T) {
	d := differencing{blockSize: 4096, size: 8192, relative: `..\gone.vhd`}
	src := imagefmttest.NewSource("x", d.bytes())
	info, err := imagefmt.Describe(t.Context(), Format{}, src, imagefmt.OpenOptions{})
	if err != nil || info.Backing == nil || *info.Backing != (imagefmt.Reference{Name: "../gone.vhd", Format: "vhd"}) {
		t.Errorf("info %+v, %v", info, err)
	}
}
