//go:build linux

package ext

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// spy counts reads, and pretends that all lies plainly in a host file, but for
// what is zero.
type spy struct {
	inner        blockdev.Device
	reads, bytes atomic.Int64
	zeroFrom     int64
}

type spyFile struct{}

func (spyFile) Fd() uintptr  { return 0 }
func (spyFile) Name() string { return "spy" }

func (s *spy) Size() int64 { return s.inner.Size() }
func (s *spy) ReadAt(p []byte, off int64) (int, error) {
	s.reads.Add(1)
	s.bytes.Add(int64(len(p)))
	return s.inner.ReadAt(p, off)
}
func (s *spy) NextExtent(off, n int64) (blockdev.Extent, error) {
	if off >= s.zeroFrom {
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
	}
	return blockdev.Extent{Off: off, Len: min(n, s.zeroFrom-off), Host: &blockdev.HostPos{File: spyFile{}, Off: off}}, nil
}

func lookup(t testing.TB, f filesys.FS, names ...string) filesys.Node {
	t.Helper()
	n := f.Root()
	for _, name := range names {
		var err error
		if n, err = f.Lookup(n, name); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestFewReads: to read one small file of a large filesystem takes a handful of
// reads, however many groups there are.
func TestFewReads(t *testing.T) {
	source := t.TempDir()
	if err := os.MkdirAll(filepath.Join(source, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		os.WriteFile(filepath.Join(source, "etc", fmt.Sprint("other", i)), []byte("x"), 0o644)
	}
	os.WriteFile(filepath.Join(source, "etc/fstab"), []byte("LABEL=root / ext4\n"), 0o644)
	image := mkfsRow{args: "-t ext4 -d " + source, size: 64 << 10}.mkfs(t)
	s := &spy{inner: fsedittest.OpenImage(t, image)}
	f := &tree{open(t, s)}
	p, err := filesys.ReadFile(f, lookup(t, f, "etc", "fstab"), 1000)
	if err != nil || string(p) != "LABEL=root / ext4\n" {
		t.Fatal(string(p), err)
	}
	if s.reads.Load() > 10 || s.bytes.Load() > 128<<10 {
		t.Errorf("%d reads of %d bytes", s.reads.Load(), s.bytes.Load())
	}
}

// TestFragmented reads a file whose extent tree has several levels, by small and
// unaligned reads too, and from many goroutines.
func TestFragmented(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -b 1024", size: 64}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	h, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1024)
	for i := range int64(12000) {
		le.PutUint64(block, uint64(i)+1)
		if _, err := h.WriteAt(block, i*2048); err != nil {
			t.Fatal(err)
		}
	}
	h.Close()
	want, err := os.ReadFile(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	unmount()

	v := open(t, fsedittest.OpenImage(t, image))
	f := &tree{v}
	n := lookup(t, f, "f")
	in, err := v.node(n)
	if err != nil {
		t.Fatal(err)
	}
	if root, err := v.mapOf(in).(*extentTree).root(); err != nil || root.depth < 2 {
		t.Fatalf("depth %d, %v", root.depth, err)
	}
	dev, err := f.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(dev, 5000, 70001), want[5000:75001]); err != nil {
		t.Error(err)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			p := make([]byte, 12345)
			for off := g * 1000; off+len(p) < len(want); off += 50021 {
				if _, err := dev.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, want[off:off+len(p)]) {
					t.Errorf("at %d: %v", off, err)
					return
				}
			}
		})
	}
	all.Wait()
	checkVisit(t, v, in, int64(len(want)))
}

// checkVisit compares a walk of a map with the allocated blocks of the inode.
func checkVisit(t *testing.T, v *volume, in *inode, size int64) {
	t.Helper()
	var data, meta int64
	err := v.mapOf(in).visit(func(r run) error { data += int64(r.count); return nil },
		func(uint64) error { meta++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got := (data + meta) * v.blockSize / 512; got != in.sectors(v) {
		t.Errorf("%d blocks and %d of the map: %d sectors, the inode has %d", data, meta, got, in.sectors(v))
	}
}

// TestHostPositions: what the device below knows shines through a file.
func TestHostPositions(t *testing.T) {
	source := t.TempDir()
	content := bytes.Repeat([]byte("vmconv! "), 1<<17)
	os.WriteFile(filepath.Join(source, "f"), content, 0o644)
	image := mkfsRow{args: "-t ext4 -d " + source}.mkfs(t)
	s := &spy{inner: fsedittest.OpenImage(t, image), zeroFrom: 1 << 40}
	f := &tree{open(t, s)}
	dev, err := f.Open(lookup(t, f, "f"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range blockdev.Extents(t.Context(), dev, 4096+8, dev.Size()-4096-8) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Host == nil || !bytes.Equal(raw[e.Host.Off:][:e.Len], content[e.Off:][:e.Len]) {
			t.Fatalf("extent %+v does not lie there", e)
		}
	}
	s.zeroFrom = 0
	if e, err := blockdev.NextExtent(dev, 0, 4096); err != nil || e.Kind != blockdev.Zero {
		t.Errorf("zeros below do not show: %+v %v", e, err)
	}
}

func BenchmarkCat(b *testing.B) {
	source := b.TempDir()
	os.WriteFile(filepath.Join(source, "f"), []byte("x"), 0o644)
	image := mkfsRow{args: "-t ext4 -d " + source, size: 4 << 10}.mkfs(b)
	dev := fsedittest.OpenImage(b, image)
	for b.Loop() {
		f := &tree{open(b, dev)}
		if _, err := filesys.ReadFile(f, lookup(b, f, "f"), 10); err != nil {
			b.Fatal(err)
		}
	}
}
