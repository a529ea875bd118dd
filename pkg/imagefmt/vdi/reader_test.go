package vdi

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

// TestForeign reads what qemu-img writes.
func TestForeign(t *testing.T) {
	for _, options := range []string{"", "-o static=on"} {
		for _, size := range []int64{512, 40 * mib, 40*mib + 512} {
			t.Run(fmt.Sprint(options, size), func(t *testing.T) {
				b := newBench(t)
				want := pattern(size, uint64(size))
				b.write("in.raw", want)
				b.img("convert -f raw -O vdi " + options + " @in.raw @disk.vdi")
				img := b.open("disk.vdi")
				imagefmttest.Device(t, img, want)
				got, err := readAll(t.Context(), img)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("reading by extents differs (%v)", err)
				}
				if got := img.Info().Variant; (got == "static") != (options != "") {
					t.Errorf("variant %q", got)
				}
			})
		}
	}
}

// TestForeignOddSize: VirtualBox makes disks of any number of bytes; QEMU shows
// what we show.
func TestForeignOddSize(t *testing.T) {
	b := newBench(t)
	content := pattern(4*mib+512, 3)
	b.write("in.raw", content)
	b.img("convert -f raw -O vdi @in.raw @disk.vdi")
	image := b.read("disk.vdi")
	image[0x170] = 100 // of the last sector
	image[0x171] = 0
	b.write("disk.vdi", image)
	b.img("convert -f vdi -O raw @disk.vdi @truth.raw")
	img := b.open("disk.vdi")
	imagefmttest.Device(t, img, b.read("truth.raw"))
	if n := img.Info().Notices; len(n) != 1 || n[0].ID != "vdi-odd-size" {
		t.Errorf("notices %v", n)
	}
}

// TestLayouts reads block sizes, extra bytes and orders that no program here
// writes; where QEMU or 7-Zip can read them they agree.
func TestLayouts(t *testing.T) {
	specs := map[string]layoutSpec{
		"4k":            {blockBits: 12, headerLen: 0x190, mapOff: 0x200, dataOff: 0x3000},
		"4k, 512 extra": {blockBits: 12, extra: 512, headerLen: 0x190, mapOff: 0x200, dataOff: 0x1000},
		"64k":           {blockBits: 16, headerLen: 0x190, mapOff: 0x1000, dataOff: 0x3000},
		"1M, old":       {blockBits: 20, headerLen: 0x180, mapOff: 0x200, dataOff: 0x400},
		"1M, far":       {blockBits: 20, headerLen: 0x190, mapOff: mib, dataOff: 2 * mib},
		"4M, 100 extra": {blockBits: 22, extra: 100, headerLen: 0x190, mapOff: 0x200, dataOff: 0x400},
	}
	for name, s := range specs {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			content := pattern(3*mib+512, 5)
			s.diskSize = len(content)
			b.write("truth.raw", content)
			b.write("disk.vdi", s.build(content))
			imagefmttest.Device(t, b.open("disk.vdi"), content)
			if s.blockBits == 20 {
				b.expectSame("disk.vdi", "truth.raw")
			}
		})
	}
}

// TestLargestBlocks has one block of 256 MiB, of which the file holds what the
// disk has.
func TestLargestBlocks(t *testing.T) {
	s := layoutSpec{blockBits: 28, headerLen: 0x190, mapOff: 0x200, dataOff: 0x400, diskSize: 512, entries: []uint32{}}
	image := s.build(nil)
	want := imagefmttest.Pattern(0, 512, 1)
	copy(image[0x180:], []byte{1, 0, 0, 0, 1})
	imagefmttest.Device(t, openMem(t, append(image, want...)), want)
}

func TestMap(t *testing.T) {
	s := layoutSpec{blockBits: 12, headerLen: 0x190, mapOff: 0x200, dataOff: 0x1000, diskSize: 6 << 12,
		entries: []uint32{1, 2, entryZero, entryAbsent, entryAbsent, 0}}
	image := s.build(imagefmttest.Pattern(0, 6<<12, 1))
	img := openMem(t, image)
	var got []imagefmt.MapEntry
	for e, err := range imagefmt.Map(t.Context(), img, 100, img.Size()-100) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	want := []imagefmt.MapEntry{
		{Off: 100, Len: 2<<12 - 100, State: imagefmt.Stored, File: "disk.vdi", HostOff: 0x2000 + 100},
		{Off: 2 << 12, Len: 1 << 12, State: imagefmt.Zero, HostOff: -1},
		{Off: 3 << 12, Len: 2 << 12, State: imagefmt.Hole, HostOff: -1},
		{Off: 5 << 12, Len: 1 << 12, State: imagefmt.Stored, File: "disk.vdi", HostOff: 0x1000},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestDescribe: what cannot be opened can be described.
func TestDescribe(t *testing.T) {
	image := layoutSpec{blockBits: 20, headerLen: 0x190, mapOff: 0x200, dataOff: 0x400, diskSize: mib}.build(make([]byte, mib))
	image[0x4c] = 4
	copy(image[0x1a8:], []byte{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff})
	src := imagefmttest.NewSource("disk.vdi", image)
	const parent = "00112233-4455-6677-8899-aabbccddeeff"
	info, err := Format{}.Describe(t.Context(), src, imagefmt.OpenOptions{})
	if err != nil || info.Variant != "differencing" || info.Backing == nil || info.Backing.Name != "{"+parent+"}" {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := (Format{}).Open(context.Background(), src, imagefmt.OpenOptions{}); err == nil || !strings.Contains(err.Error(), parent) {
		t.Errorf("Open: %v", err)
	}
}
