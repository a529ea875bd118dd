package vhd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// qemuSize is the size that QEMU gives the guest.
func qemuSize(t *testing.T, path string) int64 {
	t.Helper()
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	out := testtool.Run(t, "qemu-img", "info", "--output=json", "-f", "vpc", path)
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		t.Fatal(err)
	}
	return info.Size
}

// TestCreate: QEMU, libvhdi and 7-Zip read what was written, at its exact size.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	for i, size := range []int{512, 40 << 20, 40<<20 + 512, 40<<20 + 100} {
		content := pattern(size, uint64(i))
		for _, options := range []string{"", "block_size=512k", "subformat=fixed", "azure=on"} {
			align := int64(sectorSize)
			if options == "azure=on" {
				align = 1 << 20
			}
			want := padded(content, align)
			path := save(t, created(t, content, options), dir, "x.vhd")
			if got := qemuSize(t, path); got != int64(len(want)) {
				t.Errorf("%d bytes, %q: QEMU says %d", size, options, got)
			}
			raw := saveBytes(t, want, dir, "x.raw")
			testtool.Run(t, "qemu-img", "compare", "-f", "vpc", "-F", "raw", path, raw)
			if size > 512 && size < 40<<20+100 && options != "block_size=512k" {
				continue // the others read slowly
			}
			same(t, "libvhdi", pyvhdi(t, path), want)
			same(t, "7-Zip", sevenZip(t, path), want)
		}
	}
}

// TestNativeLook: vhdiinfo knows the kind, the size and the creator.
func TestNativeLook(t *testing.T) {
	dir := t.TempDir()
	for options, kind := range map[string]string{"": "Dynamic", "subformat=fixed": "Fixed"} {
		path := save(t, created(t, pattern(3<<20, 1), options), dir, "x.vhd")
		out := testtool.Run(t, "vhdiinfo", path)
		for _, want := range []string{kind, "(3145728 bytes)", "Format version\t\t: 1.0"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q: vhdiinfo does not say %q:\n%s", options, want, out)
			}
		}
	}
}

// TestAzure: whole MiB and a footer, fixed.
func TestAzure(t *testing.T) {
	f := created(t, pattern(5<<20+1, 1), "azure=on")
	if f.Size() != 6<<20+footerSize {
		t.Errorf("the file has %d bytes", f.Size())
	}
	foot, err := readTail(f)
	if err != nil || foot == nil || !foot.sound || foot.size() != 6<<20 || foot.DiskType != typeFixed || foot.OriginalSize != 6<<20 {
		t.Errorf("footer %+v, %v", foot, err)
	}
}

// TestLarge: a disk of 2039 GiB with little on it is a small file of the host,
// written and read at once.
func TestLarge(t *testing.T) {
	const size = 2039 << 30
	for _, options := range []string{"", "subformat=fixed"} {
		path := filepath.Join(t.TempDir(), "large.vhd")
		out, err := osfile.Create(path, osfile.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		w, err := Format{}.Create(t.Context(), out, size, values(options))
		if err != nil {
			t.Fatal(err)
		}
		head, tail := imagefmttest.Pattern(0, 100_000, 1), imagefmttest.Pattern(5, 70_000, 1)
		for _, p := range []struct {
			data []byte
			off  int64
		}{{head, 1000}, {tail, size - 70_000}} {
			if _, err := w.WriteAt(p.data, p.off); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Finish(t.Context()), out.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := qemuSize(t, path); got != size {
			t.Errorf("%q: QEMU says %d", options, got)
		}
		testtool.Run(t, "qemu-io", "-r", "-f", "vpc", "-c", fmt.Sprintf("read -P 0 %d 1M", int64(1<<40)), path)
		src, err := osfile.Open(path, osfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		img := open(t, src)
		expectLarge(t, img, head, tail)
		img.Close()
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%q took %v", options, d)
		}
	}
}

func expectLarge(t *testing.T, img imagefmt.Image, head, tail []byte) {
	t.Helper()
	got := make([]byte, len(tail))
	if err := ondisk.Full(img, got, img.Size()-int64(len(tail))); err != nil {
		t.Fatal(err)
	}
	same(t, "the end", got, tail)
	entries := 0
	for e, err := range imagefmt.Map(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if entries++; entries > 10 {
			t.Fatalf("more than 10 entries; the last at %#x", e.Off)
		}
	}
	got = make([]byte, len(head))
	if err := ondisk.Full(img, got, 1000); err != nil {
		t.Fatal(err)
	}
	same(t, "the start", got, head)
}

// TestHoles: pages of zeros inside a block take no room, and have no bits.
func TestHoles(t *testing.T) {
	content := make([]byte, 4<<20)
	for at := 0; at < len(content); at += 64 << 10 {
		content[at+5000] = 1 // one page of 16
	}
	f := created(t, content, "")
	if got := f.Allocated(); got > 64*ondisk.PageSize+4*ondisk.PageSize+4*ondisk.PageSize {
		t.Errorf("%d bytes are allocated", got)
	}
	sink := imagefmttest.NewUsedSink("x", f.Size())
	create(t, sink, content, imagefmt.CreateOptions{}, 1<<20)
	if !bytes.Equal(sink.File().Bytes(), f.Bytes()) {
		t.Error("on a used device the image differs")
	}
	pieces := imagefmttest.NewSink("x")
	create(t, pieces, content, imagefmt.CreateOptions{}, 7777)
	if !bytes.Equal(pieces.File().Bytes(), f.Bytes()) {
		t.Error("in pieces that do not fit the image differs")
	}
}

// TestStream: a fixed image goes through a pipe and is the same.
func TestStream(t *testing.T) {
	content := pattern(3<<20+5, 8)
	sink := imagefmttest.NewSink("x")
	sink.Pipe = true
	create(t, sink, content, values("subformat=fixed"), 10_000)
	if !bytes.Equal(sink.File().Bytes(), created(t, content, "subformat=fixed").Bytes()) {
		t.Error("the image differs")
	}
	sink = imagefmttest.NewSink("x")
	sink.Pipe = true
	_, err := Format{}.Create(t.Context(), sink, 1<<20, imagefmt.CreateOptions{})
	if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), "subformat=fixed") {
		t.Errorf("dynamic: %v", err)
	}
}

func TestPreallocation(t *testing.T) {
	for _, how := range []string{"falloc", "full"} {
		f := created(t, make([]byte, 3<<20), "subformat=fixed,preallocation="+how)
		if got := f.Allocated(); got < 3<<20 {
			t.Errorf("%s: %d bytes are allocated", how, got)
		}
		path := filepath.Join(t.TempDir(), "x.vhd")
		out, err := osfile.Create(path, osfile.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		create(t, out, make([]byte, 3<<20), values("subformat=fixed,preallocation="+how), 1<<20)
		if err := out.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Size() != 3<<20+footerSize {
			t.Errorf("%s: %v, %v", how, fi, err)
		}
	}
}

// TestIdentity: time and UUID come from the options, and are the same twice
// without.
func TestIdentity(t *testing.T) {
	foot := func(opts imagefmt.CreateOptions) *footer {
		sink := imagefmttest.NewSink("x")
		create(t, sink, make([]byte, 4096), opts, 4096)
		f, err := readTail(sink.File())
		if err != nil || f == nil {
			t.Fatal(f, err)
		}
		return f
	}
	plain := foot(imagefmt.CreateOptions{})
	if plain.Timestamp != 0 || plain.UUID == ([16]byte{}) || plain.UUID != foot(imagefmt.CreateOptions{}).UUID {
		t.Errorf("without options: time %d, UUID %x", plain.Timestamp, plain.UUID)
	}
	given := foot(imagefmt.CreateOptions{
		Now:  func() time.Time { return time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC) },
		Rand: bytes.NewReader(bytes.Repeat([]byte{0xff}, 16)),
	})
	if want := ([16]byte)(append([]byte{255, 255, 255, 255, 255, 255, 0x4f, 255, 0xbf}, bytes.Repeat([]byte{255}, 7)...)); given.UUID != want || given.Timestamp != 86400 {
		t.Errorf("time %d, UUID %x", given.Timestamp, given.UUID)
	}
	if _, err := (Format{}).Create(t.Context(), imagefmttest.NewSink("x"), 1, imagefmt.CreateOptions{Rand: strings.NewReader("")}); err == nil {
		t.Error("no randomness was no error")
	}
}

// TestRefused: every problem is named before anything is written.
func TestRefused(t *testing.T) {
	tests := []struct {
		size    int64
		options string
		want    []string
	}{
		{2041 << 30, "", []string{"2040 GiB", "vhdx"}},
		{2041 << 30, "subformat=fixed", []string{"2040 GiB"}},
		{2040 << 30, "block_size=512k", []string{"block_size"}},
		{1 << 20, "subformat=fixed,block_size=2M", []string{"block_size"}},
		{1 << 20, "preallocation=full", []string{"subformat=fixed"}},
		{1 << 20, "azure=on,subformat=dynamic", []string{"azure"}},
		{1 << 20, "subformat=sparse,size=5", []string{"sparse", `"size"`}},
	}
	for _, tt := range tests {
		sink := imagefmttest.NewSink("x")
		_, err := Format{}.Create(t.Context(), sink, tt.size, values(tt.options))
		if !errors.Is(err, ondisk.ErrUnsupported) || sink.File().Size() != 0 {
			t.Errorf("%d, %q: %v", tt.size, tt.options, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%d, %q: %v; want %q", tt.size, tt.options, err, want)
			}
		}
	}
	if _, err := (Format{}).Create(t.Context(), imagefmttest.NewSink("x"), 2040<<30, imagefmt.CreateOptions{}); err != nil {
		t.Errorf("2040 GiB: %v", err)
	}
}
