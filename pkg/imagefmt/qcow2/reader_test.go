package qcow2

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lima-vm/go-qcow2reader"
	lima "github.com/lima-vm/go-qcow2reader/image"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const diskSize = 5<<20 + 1536 // not a multiple of any cluster size but 512

// TestRead reads what qemu-img wrote with every option, and compares with what
// qemu-img itself reads.
func TestRead(t *testing.T) {
	tests := []struct {
		name    string
		options string
		lima    bool // go-qcow2reader must agree
		seven   bool // 7-Zip must agree
	}{
		{"default", "", true, true},
		{"v2", "-o compat=0.10", true, true},
		{"cluster 512", "-o cluster_size=512", true, false},
		{"cluster 4k", "-o cluster_size=4k", true, true},
		{"cluster 2M", "-o cluster_size=2M", true, true},
		{"zlib", "-c", true, true},
		{"zlib 512", "-c -o cluster_size=512", false, false},
		{"zlib 4k", "-c -o cluster_size=4k", false, true},
		{"zlib 2M", "-c -o cluster_size=2M", true, false},
		{"zlib v2", "-c -o compat=0.10", true, true},
		{"zstd", "-c -o compression_type=zstd", false, false},
		{"zstd 4k", "-c -o compression_type=zstd,cluster_size=4k", false, false},
		{"zstd 2M", "-c -o compression_type=zstd,cluster_size=2M", false, false},
		{"extended", "-o extended_l2=on", false, false},
		{"extended 16k", "-o extended_l2=on,cluster_size=16k", false, false},
		{"extended zlib", "-c -o extended_l2=on", false, false},
		{"extended zstd", "-c -o extended_l2=on,compression_type=zstd", false, false},
		{"refcount 1", "-o refcount_bits=1", true, false},
		{"refcount 2", "-o refcount_bits=2", true, false},
		{"refcount 64", "-o refcount_bits=64", true, false},
		{"lazy", "-o lazy_refcounts=on", true, true},
		{"metadata", "-o preallocation=metadata", true, true},
		{"falloc", "-o preallocation=falloc", true, true},
		{"full", "-o preallocation=full", true, true},
		{"data file", "-o data_file=disk.data", false, false},
		{"raw data file", "-o data_file=disk.data,data_file_raw=on", false, false},
	}
	want := pattern(diskSize, 7)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", want)
			b.img("convert -f raw -O qcow2 " + tt.options + " @in.raw @disk.qcow2")
			img := openMem(t, b.folder(), "disk.qcow2")
			expectSame(t, img, want)
			b.expectMap("disk.qcow2", img)
			if tt.lima {
				b.expectLima("disk.qcow2", want)
			}
			if tt.seven {
				b.expect7z("disk.qcow2", want)
			}
		})
	}
}

// expectMap holds our extents against those of qemu-img: ours may know more
// zeros, never fewer.
func (b *bench) expectMap(name string, img imagefmt.Image) {
	b.t.Helper()
	var regions []struct {
		Start, Length int64
		Zero, Data    bool
	}
	out := b.img("map -f qcow2 --output=json @" + name)
	if err := json.Unmarshal([]byte(out), &regions); err != nil {
		b.t.Fatal(err)
	}
	var theirs, ours int64
	for _, r := range regions {
		if !r.Zero {
			theirs += r.Length
		}
	}
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if err != nil {
			b.t.Fatal(err)
		}
		if e.Kind == blockdev.Data {
			ours += e.Len
		}
	}
	if ours > theirs {
		b.t.Errorf("%d bytes of data by our extents, %d by qemu-img map\n%s", ours, theirs, out)
	}
}

func (b *bench) expectLima(name string, want []byte) {
	b.t.Helper()
	f, err := os.Open(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	var img lima.Image
	if img, err = qcow2reader.Open(f); err != nil {
		b.t.Fatalf("go-qcow2reader: %v", err)
	}
	got := make([]byte, img.Size())
	if err := ondisk.Full(img, got, 0); err != nil {
		b.t.Fatalf("go-qcow2reader: %v", err)
	}
	if !bytes.Equal(got, want) {
		b.t.Errorf("go-qcow2reader differs at %#x", firstDifference(got, want))
	}
}

func (b *bench) expect7z(name string, want []byte) {
	b.t.Helper()
	testtool.Run(b.t, "7zz", "e", "-y", "-tqcow", "-o"+b.path("seven"), b.path(name))
	defer os.RemoveAll(b.path("seven"))
	files, err := os.ReadDir(b.path("seven"))
	if err != nil || len(files) != 1 {
		b.t.Fatalf("7zz: %v %v", files, err)
	}
	if got := b.read("seven/" + files[0].Name()); !bytes.Equal(got, want) {
		b.t.Errorf("7-Zip differs at %#x", firstDifference(got, want))
	}
}

func TestReadBacking(t *testing.T) {
	tests := []struct {
		name, base, top string
		size            string // of the overlay
		writes          []string
	}{
		{"raw", "raw", "", "", []string{"write -P 1 100k 3k", "write -z 1M 128k"}},
		{"smaller clusters", "qcow2 -o cluster_size=4k", "", "", []string{"write -P 2 70k 1k"}},
		{"larger clusters", "qcow2 -o cluster_size=2M", "-o cluster_size=4k", "", []string{"write -P 3 70k 9k", "write -z 3M 8k"}},
		{"shorter", "qcow2", "", "9M", []string{"write -P 4 8M 64k", "write -P 5 5M 1k"}},
		{"longer", "qcow2", "", "3000k", []string{"write -P 6 1M 1k"}},
		{"extended", "qcow2 -o cluster_size=4k", "-o extended_l2=on", "", []string{"write -P 7 66k 2k", "write -P 8 4k 6k", "write -z 140k 4k", "write -z 1M 64k", "discard 512k 128k", "write -P 9 1026k 2k"}},
		{"extended v3 of compressed", "qcow2 -c", "-o extended_l2=on,cluster_size=128k", "", []string{"write -P 7 68k 4k", "write -z 140k 4k", "write -P 1 256k 128k", "write -c -P 3 512k 128k"}},
		{"v2 on v3", "qcow2", "-o compat=0.10", "", []string{"write -P 7 68k 4k"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(diskSize, 8))
			b.img("convert -f raw -O " + tt.base + " @in.raw @base")
			os.Remove(b.path("in.raw"))
			b.img("create -q -f qcow2 " + tt.top + " -b base -F " + strings.Fields(tt.base)[0] + " @top.qcow2 " + tt.size)
			b.io("top.qcow2", tt.writes...)
			img := openMem(t, b.folder(), "top.qcow2")
			expectSame(t, img, b.truth("top.qcow2"))
			b.expectMap("top.qcow2", img)
		})
	}
}

// TestReadChain goes three images down.
func TestReadChain(t *testing.T) {
	b := newBench(t)
	b.write("a.raw", pattern(3<<20, 9))
	b.img("create -q -f qcow2 -b a.raw -F raw @b.qcow2")
	b.io("b.qcow2", "write -P 1 0 64k", "write -z 64k 64k")
	b.img("create -q -f qcow2 -o cluster_size=512 -b b.qcow2 -F qcow2 @c.qcow2 4M")
	b.io("c.qcow2", "write -P 2 1k 1k", "write -z 200k 10k")
	expectSame(t, openMem(t, b.folder(), "c.qcow2"), b.truth("c.qcow2"))
}

func TestReadSnapshotsAndBitmaps(t *testing.T) {
	b := newBench(t)
	b.write("in.raw", pattern(diskSize, 10))
	b.img("convert -f raw -O qcow2 @in.raw @disk.qcow2")
	b.img("snapshot -c before @disk.qcow2")
	b.io("disk.qcow2", "write -P 9 1M 1M")
	b.img("snapshot -c after @disk.qcow2")
	b.img("bitmap --add @disk.qcow2 backup0")
	b.io("disk.qcow2", "write -P 3 3M 1k")
	img := openMem(t, b.folder(), "disk.qcow2")
	expectSame(t, img, b.truth("disk.qcow2"))
	info := img.Info()
	if strings.Join(info.Snapshots, ",") != "before,after" || strings.Join(info.Bitmaps, ",") != "backup0" {
		t.Errorf("snapshots %q, bitmaps %q", info.Snapshots, info.Bitmaps)
	}
	var ids []string
	for _, n := range info.Notices {
		ids = append(ids, n.ID)
	}
	if strings.Join(ids, ",") != "qcow2-snapshots,qcow2-bitmaps" {
		t.Errorf("notices %v", info.Notices)
	}
}

func TestReadDirty(t *testing.T) {
	b := newBench(t)
	want := pattern(1<<20, 11)
	b.write("in.raw", want)
	b.img("convert -f raw -O qcow2 -o lazy_refcounts=on @in.raw @disk.qcow2")
	b.patch("disk.qcow2", 72, be64(incompatDirty))
	img := openMem(t, b.folder(), "disk.qcow2")
	expectSame(t, img, want)
	if info := img.Info(); !info.Dirty || len(info.Notices) != 1 || info.Notices[0].ID != "qcow2-dirty" {
		t.Errorf("info %+v", info)
	}
}

// TestReadHuge opens a disk whose L1 table alone takes megabytes.
func TestReadHuge(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 -o cluster_size=4k @disk.qcow2 4T")
	b.io("disk.qcow2", "write -P 7 3T 5k")
	img := openMem(t, b.folder(), "disk.qcow2")
	var data []blockdev.Extent
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == blockdev.Data {
			data = append(data, e)
		}
	}
	if len(data) != 1 || data[0].Off != 3<<40 || data[0].Len != 8<<10 {
		t.Fatalf("data %v", data)
	}
}

// TestReadDataFile writes into an external data file by QEMU, over holes.
func TestReadDataFile(t *testing.T) {
	for _, options := range []string{"", ",data_file_raw=on"} {
		b := newBench(t)
		b.img("create -q -f qcow2 -o data_file=disk.data" + options + " @disk.qcow2 5M")
		b.io("disk.qcow2", "write -P 1 0 1k", "write -P 2 3M 100k", "write -z 3100k 64k")
		img := openMem(t, b.folder(), "disk.qcow2")
		expectSame(t, img, b.truth("disk.qcow2"))
		b.expectMap("disk.qcow2", img)
		if d := img.Info().DataFile; d == nil || d.Name != "disk.data" {
			t.Errorf("data file %v", d)
		}
		_, err := Format{}.Update(context.Background(), b.folder().Get("disk.qcow2"), imagefmt.OpenOptions{})
		if !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("update: %v", err)
		}
	}
}

// hosted is a source that lies in a file of the host.
type hosted struct{ *imagefmttest.MemFile }

func (hosted) Fd() uintptr { return 0 }
func (h hosted) NextExtent(off, n int64) (blockdev.Extent, error) {
	e, err := h.MemFile.NextExtent(off, n)
	if e.Kind == blockdev.Data {
		e.Host = &blockdev.HostPos{File: h, Off: off}
	}
	return e, err
}

// TestHostPositions reads every extent where the image says that it lies.
func TestHostPositions(t *testing.T) {
	for _, options := range []string{"", "extended_l2=on", "cluster_size=512", "-c"} {
		content := pattern(2<<20, 5)
		sink := imagefmttest.NewSink("out")
		writeImage(t, sink, content, options, 1)
		img, err := Format{}.Open(context.Background(), hosted{sink.File()}, imagefmt.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found := int64(0)
		for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Host == nil {
				continue
			}
			got := make([]byte, e.Len)
			if err := ondisk.Full(sink.File(), got, e.Host.Off); err != nil || !bytes.Equal(got, content[e.Off:e.End()]) {
				t.Errorf("%q: extent %d+%d does not lie at %d (%v)", options, e.Off, e.Len, e.Host.Off, err)
			}
			found += e.Len
		}
		if found == 0 {
			t.Errorf("%q: no extent has a host position", options)
		}
	}
}
