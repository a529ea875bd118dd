package formats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestRoundTrip converts a raw disk to every target, and each of these images to
// every target: each byte stays, holes stay holes, the size is exact.
func TestRoundTrip(t *testing.T) {
	testtool.Need(t, "qemu-img", "xva-img", "tar")
	for _, size := range testtool.Some(2, []int64{512, 40<<20 + 100, 40 << 20, 40<<20 + 512}) {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := &roundTrip{truth: newTruth(t, size), right: map[string]bool{}}
			all := targets(t)
			for _, first := range all {
				t.Run(first.String(), func(t *testing.T) {
					t.Parallel()
					img := r.first(t, first)
					for _, second := range all {
						r.second(t, img, second)
					}
				})
			}
		})
	}
}

type roundTrip struct {
	*truth
	mu    sync.Mutex
	right map[string]bool // images that were judged, by digest
}

// first makes an image from the raw disk, on the host, and opens it.
func (r *roundTrip) first(t *testing.T, g target) imagefmt.Image {
	t.Helper()
	dir := t.TempDir()
	img := convert(t, openFile(t, r.raw(t, r.size), "raw"), g, dir)
	if err := r.judge(t, g, imagePath(dir, g), g.size(r.size)); err != nil {
		t.Fatal(err)
	}
	if img.Size() != g.size(r.size) {
		t.Errorf("%d bytes, want %d", img.Size(), g.size(r.size))
	}
	if got := room(t, dir); got > r.room(g) {
		t.Errorf("%d bytes are allocated, at most %d are needed", got, r.room(g))
	}
	return img
}

// second makes an image from an image, in memory. Most are equal to the byte to
// one that was judged, since all come from one disk.
func (r *roundTrip) second(t *testing.T, img imagefmt.Image, g target) {
	t.Helper()
	folder := imagefmttest.NewFolder()
	if err := g.fill(t.Context(), folder.Sink(imagePath("", g)), img); err != nil {
		t.Errorf("to %v: %v", g, err)
		return
	}
	var allocated int64
	for _, name := range folder.Names() {
		allocated += folder.Get(name).Allocated()
	}
	if allocated > r.room(g) {
		t.Errorf("to %v: %d bytes are allocated, at most %d are needed", g, allocated, r.room(g))
	}
	size := g.size(img.Size())
	id := fmt.Sprint(g, size, digestFolder(t, folder))
	r.mu.Lock()
	known := r.right[id]
	r.mu.Unlock()
	if known {
		return
	}
	dir := t.TempDir()
	saveFolder(t, folder, dir)
	if err := r.judge(t, g, imagePath(dir, g), size); err != nil {
		t.Errorf("to %v: %v", g, err)
		return
	}
	r.mu.Lock()
	r.right[id] = true
	r.mu.Unlock()
	os.RemoveAll(dir)
}

func imagePath(dir string, g target) string { return filepath.Join(dir, "disk."+g.Extension()) }

// convert writes img in another format and opens the result.
func convert(t *testing.T, img imagefmt.Image, g target, dir string) imagefmt.Image {
	t.Helper()
	path := imagePath(dir, g)
	if err := g.write(t.Context(), path, img); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path, g.Name())
}

// openFile opens an image of the host for as long as the test lasts. A program
// that another test starts has our files for a moment, as if it wrote to them;
// Open refuses what somebody else writes to.
func openFile(t *testing.T, path, format string) imagefmt.Image {
	t.Helper()
	syscall.ForkLock.RLock()
	src, err := osfile.Open(path, osfile.Options{})
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	img, err := Default().Open(t.Context(), src, format, imagefmt.OpenOptions{})
	if err != nil {
		src.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// pages calls do with each page of a file that is not all zeros.
func pages(t *testing.T, f *imagefmttest.MemFile, do func(p []byte, off int64)) {
	t.Helper()
	page := make([]byte, 4096)
	for e, err := range blockdev.Extents(t.Context(), f, 0, f.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		for off := e.Off; e.Kind == blockdev.Data && off < e.End(); off += int64(len(page)) {
			p := page[:min(int64(len(page)), e.End()-off)]
			if err := ondisk.Full(f, p, off); err != nil {
				t.Fatal(err)
			}
			if !ondisk.IsZero(p) {
				do(p, off)
			}
		}
	}
}

// digestFolder is of names, sizes and bytes, and not of holes.
func digestFolder(t *testing.T, folder *imagefmttest.Folder) uint64 {
	t.Helper()
	h := xxhash.New()
	var word [8]byte
	for _, name := range folder.Names() {
		f := folder.Get(name)
		fmt.Fprintf(h, "%s %d ", name, f.Size())
		pages(t, f, func(p []byte, off int64) {
			binary.LittleEndian.PutUint64(word[:], uint64(off))
			h.Write(word[:])
			h.Write(p)
		})
	}
	return h.Sum64()
}

// saveFolder writes files from memory to the host, with their holes.
func saveFolder(t *testing.T, folder *imagefmttest.Folder, dir string) {
	t.Helper()
	for _, name := range folder.Names() {
		out, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		f := folder.Get(name)
		pages(t, f, func(p []byte, off int64) {
			if _, err := out.WriteAt(p, off); err != nil {
				t.Fatal(err)
			}
		})
		if err := errors.Join(out.Truncate(f.Size()), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
