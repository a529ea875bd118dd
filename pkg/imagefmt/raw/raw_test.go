package raw

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestHoles: zeros become holes where they fill a block of the file, and only
// there.
func TestHoles(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	w, err := Format{}.Create(t.Context(), sink, 20*ondisk.PageSize, imagefmt.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 12*ondisk.PageSize)
	p[3*ondisk.PageSize] = 1 // one block and no more, although p is not aligned
	if _, err := w.WriteAt(p, 100); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := sink.File().Allocated(); got != ondisk.PageSize {
		t.Errorf("%d bytes are allocated, want %d", got, ondisk.PageSize)
	}
	imagefmttest.Device(t, sink.File(), append(append(make([]byte, 100), p...), make([]byte, 8*ondisk.PageSize-100)...))
}

// TestQemuAgrees: a sparse file of ours is, for QEMU, the disk it came from.
func TestQemuAgrees(t *testing.T) {
	testtool.Need(t, "qemu-img")
	dir := t.TempDir()
	const size = 3<<20 + 17*512
	disk := imagefmttest.Pattern(0, size, 4)
	clear(disk[1<<20 : 2<<20])
	want, got := filepath.Join(dir, "want.img"), filepath.Join(dir, "got.img")
	if err := os.WriteFile(want, disk, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := osfile.Create(got, osfile.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	copyDisk(t, out, disk)
	if err := out.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", want, got)

	src, err := osfile.Open(got, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := Format{}.Open(t.Context(), src, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	imagefmttest.Device(t, img, disk)
	e, err := blockdev.NextExtent(img, 0, size)
	if err != nil || e.Host == nil {
		t.Errorf("first extent %+v, %v: it lies plainly on the host", e, err)
	}
}

func copyDisk(t *testing.T, sink imagefmt.Sink, disk []byte) {
	t.Helper()
	w, err := Format{}.Create(t.Context(), sink, int64(len(disk)), imagefmt.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(disk, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTooBig(t *testing.T) {
	src := imagefmttest.NewSource("x", make([]byte, 100))
	_, err := Format{}.Open(t.Context(), src, imagefmt.OpenOptions{Limits: ondisk.Limits{VirtualSize: 99}})
	if !errors.Is(err, ondisk.ErrTooBig) {
		t.Errorf("Open: %v", err)
	}
}

// FuzzWriter: any sequence of writes is either refused or on the disk.
func FuzzWriter(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 0, 7}, false)
	f.Add([]byte{0, 0, 255, 255, 9}, true)
	f.Fuzz(func(t *testing.T, script []byte, used bool) {
		const size = 1 << 16
		sink := imagefmttest.NewSink("x")
		if used {
			sink = imagefmttest.NewUsedSink("x", size)
		}
		w, err := Format{}.Create(t.Context(), sink, size, imagefmt.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want, at := make([]byte, size), 0
		for ; len(script) > 2; script = script[3:] {
			off := at + int(script[0])*64
			p := bytes.Repeat(script[1:2], int(script[2])*40)
			n, err := w.WriteAt(p, int64(off))
			if (err == nil) != (off+len(p) <= size) {
				t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(p), off, n, err)
			}
			if err == nil {
				copy(want[off:], p)
				at = off + len(p)
			}
		}
		if err := w.Finish(context.Background()); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := sink.File().ReadAt(got, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the disk differs")
		}
	})
}

// TestPreallocation: the room is there, and the disk the same.
func TestPreallocation(t *testing.T) {
	for _, mode := range []string{"off", "falloc", "full"} {
		path := filepath.Join(t.TempDir(), "x.img")
		out, err := osfile.Create(path, osfile.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		opts := imagefmt.CreateOptions{Values: map[string]string{"preallocation": mode}}
		w, err := Format{}.Create(t.Context(), out, 4<<20, opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteAt([]byte("data"), 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Finish(t.Context()), out.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		blocks := strings.TrimSpace(testtool.Run(t, "stat", "-c", "%b", path))
		if n, err := strconv.Atoi(blocks); err != nil || (n*512 >= 4<<20) != (mode != "off") {
			t.Errorf("preallocation=%s takes %s blocks", mode, blocks)
		}
		want := make([]byte, 4<<20)
		copy(want[1<<20:], "data")
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("preallocation=%s: the disk differs, %v", mode, err)
		}
	}
}
