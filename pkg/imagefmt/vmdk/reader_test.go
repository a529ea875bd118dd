//go:build linux

package vmdk

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// qemuKinds are the disks that qemu-img makes.
var qemuKinds = []struct {
	options string
	variant string
}{
	{"", typeMonolithicSparse},
	{"-o zeroed_grain=on", typeMonolithicSparse},
	{"-o compat6=on", typeMonolithicSparse},
	{"-o adapter_type=lsilogic", typeMonolithicSparse},
	{"-o adapter_type=buslogic,hwversion=10", typeMonolithicSparse},
	{"-o adapter_type=legacyESX", typeMonolithicSparse},
	{"-o subformat=monolithicFlat", typeMonolithicFlat},
	{"-o subformat=twoGbMaxExtentSparse", typeSplitSparse},
	{"-o subformat=twoGbMaxExtentSparse,zeroed_grain=on", typeSplitSparse},
	{"-o subformat=twoGbMaxExtentFlat", typeSplitFlat},
	{"-o subformat=streamOptimized", typeStream},
}

// TestReadQEMU reads what qemu-img makes, more than one grain table of it and a
// last grain that is cut off.
func TestReadQEMU(t *testing.T) {
	l := newLab(t)
	content := guestDisk(34<<20+3*sectorSize, 1)
	l.write("in.raw", content)
	for _, tt := range qemuKinds {
		t.Run(tt.options, func(t *testing.T) {
			l.img("convert -f raw -O vmdk " + tt.options + " @in.raw @disk.vmdk")
			img := l.open("disk.vmdk")
			imagefmttest.Device(t, img, content)
			checkMap(t, img, content)
			if info := img.Info(); info.Variant != tt.variant || info.VirtualSize != int64(len(content)) {
				t.Errorf("%+v", info)
			}
			r, err := Format{}.Check(t.Context(), l.folder().Get("disk.vmdk"), imagefmt.OpenOptions{}, nil)
			if err != nil || r.Corrupt != 0 || r.Leaked != 0 || r.Allocated == 0 {
				t.Errorf("check: %v, %+v", err, r)
			}
		})
	}
}

// checkMap wants no hole where content has data, and bytes where the map says.
func checkMap(t *testing.T, img imagefmt.Image, content []byte) {
	t.Helper()
	for e, err := range imagefmt.Map(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		part := content[e.Off:e.End()]
		switch e.State {
		case imagefmt.Hole, imagefmt.Zero:
			if !ondisk.IsZero(part) {
				t.Errorf("%d+%d is no %v", e.Off, e.Len, e.State)
			}
		case imagefmt.Stored:
			p := make([]byte, e.Len)
			f, err := os.Open(e.File)
			if err == nil {
				_, err = f.ReadAt(p, e.HostOff)
				f.Close()
			}
			if err != nil || !bytes.Equal(p, part) {
				t.Errorf("%d+%d is not at %d of %s: %v", e.Off, e.Len, e.HostOff, e.File, err)
			}
		}
	}
}

// TestReadPeers: libvmdk and 7-Zip see the disk that we see.
func TestReadPeers(t *testing.T) {
	l := newLab(t)
	content := guestDisk(5<<20, 2)
	l.write("in.raw", content)
	for _, tt := range qemuKinds {
		if strings.Contains(tt.options, "zeroed_grain") {
			continue // libvmdk does not know them
		}
		l.img("convert -f raw -O vmdk " + tt.options + " @in.raw @disk.vmdk")
		ours, err := readAll(l.open("disk.vmdk"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(l.python("disk.vmdk", len(ours)), ours) {
			t.Errorf("%s: libvmdk reads another disk", tt.options)
		}
		if tt.variant == typeMonolithicSparse && !bytes.Equal(l.sevenZip("disk.vmdk"), ours) {
			t.Errorf("%s: 7-Zip reads another disk", tt.options)
		}
	}
}

// TestReadSplit reads over the border of two extents.
func TestReadSplit(t *testing.T) {
	l := newLab(t)
	const size = 2<<30 + 40<<20
	border := guestDisk(4<<20, 3)
	f, err := os.Create(l.path("in.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	at := int64(2047<<20 - 2<<20)
	for _, off := range []int64{at, 2<<30 - 2<<20, size - 4<<20} {
		if _, err := f.WriteAt(border, off); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{typeSplitSparse, typeSplitFlat} {
		l.img("convert -f raw -O vmdk -o subformat=" + kind + " @in.raw @disk.vmdk")
		img := l.open("disk.vmdk")
		if img.Size() != size {
			t.Fatalf("%d bytes", img.Size())
		}
		got, want := make([]byte, 8<<20), make([]byte, 8<<20)
		for _, off := range []int64{at - 1<<20, 2<<30 - 3<<20, size - 8<<20} {
			if err := errors.Join(ondisk.Full(img, got, off), ondisk.Full(f, want, off)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: differs at %d", kind, off)
			}
		}
		data := int64(0)
		for e, err := range blockdev.Extents(t.Context(), img, 0, size) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == blockdev.Data {
				data += e.Len
			}
		}
		if data < 1<<20 || data > 16<<20 {
			t.Errorf("%s: %d bytes of data", kind, data)
		}
		os.Remove(l.path("disk-f001.vmdk"))
	}
}

// TestReadChain reads a delta of a delta, with grains of zeros over the parent's.
func TestReadChain(t *testing.T) {
	l := newLab(t)
	l.write("in.raw", guestDisk(40<<20, 4))
	l.img("convert -f raw -O vmdk @in.raw @base.vmdk")
	l.img("create -q -f vmdk -F vmdk -o zeroed_grain=on -b base.vmdk @one.vmdk")
	l.io("one.vmdk", "write -P 7 1M 300k", "write -z 2M 1M", "write -P 8 39M 1M")
	l.img("create -q -f vmdk -F vmdk -b one.vmdk @two.vmdk")
	l.io("two.vmdk", "write -P 9 1200k 64k", "write -P 10 100 17")
	want := l.truth("two.vmdk")
	img := l.open("two.vmdk")
	imagefmttest.Device(t, img, want)
	checkMap(t, img, want)
	depth := 0
	for e, err := range imagefmt.Map(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		depth = max(depth, e.Depth)
	}
	if b := img.Info().Backing; depth != 2 || b == nil || b.Name != "one.vmdk" {
		t.Errorf("depth %d, backing %+v", depth, b)
	}
	if info, err := (Format{}).Describe(t.Context(), imagefmttest.NewSource("two.vmdk", l.read("two.vmdk")), imagefmt.OpenOptions{}); err != nil || info.Backing == nil {
		t.Errorf("alone: %+v, %v", info, err)
	}
	l.io("base.vmdk", "write -P 1 0 512")
	if _, err := l.tryOpen("two.vmdk", imagefmt.OpenOptions{}); !errors.Is(err, ondisk.ErrCorrupt) || !strings.Contains(err.Error(), "was changed after the delta was made") {
		t.Errorf("a base that has changed: %v", err)
	}
}

// TestParentElsewhere looks beside the delta for a parent on an ESXi host.
func TestParentElsewhere(t *testing.T) {
	l := newLab(t)
	l.write("in.raw", guestDisk(1<<20, 5))
	l.img("convert -f raw -O vmdk @in.raw @base.vmdk")
	l.img("create -q -f vmdk -F vmdk -b base.vmdk @delta.vmdk")
	hint := func(path string) *imagefmttest.MemFile {
		f := l.folder()
		content := l.read("delta.vmdk")
		area := content[sectorSize : sectorSize*21]
		changed := bytes.Replace(area, []byte(`Hint="base.vmdk"`), []byte(`Hint="`+path+`"`), 1)
		copy(area, changed[:len(area)])
		return f.Put("delta.vmdk", content)
	}
	img, err := openMemory(hint("/vmfs/volumes/datastore1/vm/base.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(img)
	if err != nil || !bytes.Equal(got, l.read("in.raw")) || len(img.Info().Notices) != 1 || img.Info().Notices[0].ID != "vmdk-parent-path" {
		t.Errorf("%v, %+v", err, img.Info().Notices)
	}
	for _, path := range []string{"/etc/base.vmdk", "../base.vmdk", "/vmfs/volumes/", "/vmfs/volumes/.."} {
		if _, err := openMemory(hint(path)); !errors.Is(err, ondisk.ErrBlocked) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := openMemory(hint("delta.vmdk")); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("a delta to itself: %v", err)
	}
}

// TestPacked gives out grains as they are stored.
func TestPacked(t *testing.T) {
	l := newLab(t)
	content := guestDisk(3<<20+1024, 6)
	l.write("in.raw", content)
	l.img("convert -f raw -O vmdk -o subformat=streamOptimized @in.raw @disk.vmdk")
	p, ok := l.open("disk.vmdk").(imagefmt.PackedReader)
	if !ok || p.PackedSize() != 64<<10 {
		t.Fatal("no packed grains")
	}
	found := 0
	for off := int64(0); off < int64(len(content)); off += int64(p.PackedSize()) {
		b, ok, err := p.ReadPacked(nil, off)
		if err != nil {
			t.Fatal(err)
		}
		end := min(off+int64(p.PackedSize()), int64(len(content)))
		want := content[off:end]
		if full := len(want) == p.PackedSize(); ok != (full && !ondisk.IsZero(want)) {
			t.Errorf("grain at %d: packed is %v", off, ok)
		}
		if !ok {
			continue
		}
		found++
		got := make([]byte, b.Len)
		if err := inflateRaw(got, b.Data); err != nil || b.Off != off || !bytes.Equal(got, want) {
			t.Errorf("grain at %d: %v", off, err)
		}
	}
	if found == 0 {
		t.Error("none was found")
	}
}

// TestTruncated: a copy that broke off is an error, at Open or where data lack.
func TestTruncated(t *testing.T) {
	l := newLab(t)
	content := guestDisk(5<<20, 7)
	l.write("in.raw", content)
	for _, tt := range qemuKinds {
		l.img("convert -f raw -O vmdk " + tt.options + " @in.raw @disk.vmdk")
		f := l.folder()
		for _, name := range f.Names() {
			whole := f.Get(name).Bytes()
			if name == "in.raw" {
				continue
			}
			for _, percent := range []int{1, 25, 50, 80, 99} {
				if percent == 99 && tt.variant == typeStream {
					continue // QEMU pads a stream to a whole grain
				}
				f.Put(name, whole[:len(whole)*percent/100])
				img, err := openMemory(f.Get("disk.vmdk"))
				if err == nil {
					_, err = readAll(img)
				}
				if err == nil && len(whole) > 4096 {
					t.Errorf("%s: %d%% of %s opened and read", tt.options, percent, name)
				}
			}
			f.Put(name, whole)
		}
		for _, n := range f.Names() {
			if n != "in.raw" {
				os.Remove(l.path(n))
			}
		}
	}
}
