package qcow2

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// bench is a folder of the host where qemu-img works, and the way from there to
// files in memory, which our code sees.
type bench struct {
	t   testing.TB
	dir string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	testtool.Need(t, "qemu-img", "qemu-io")
	dir := t.TempDir()
	t.Chdir(dir) // qemu-img looks for data files here
	return &bench{t, dir}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// img runs qemu-img; words that begin with @ are files of the folder.
func (b *bench) img(command string) string {
	b.t.Helper()
	return testtool.Img(b.t, b.dir, command)
}

// io runs qemu-io commands on one qcow2 image.
func (b *bench) io(name string, commands ...string) {
	b.t.Helper()
	testtool.IO(b.t, layer, b.path(name), commands...)
}

func (b *bench) words(command string) []string {
	args := strings.Fields(command)
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "@", b.dir+"/")
	}
	return args
}

func (b *bench) write(name string, content []byte) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read(name string) []byte {
	b.t.Helper()
	p, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// folder loads all files of the folder into memory.
func (b *bench) folder() *imagefmttest.Folder {
	b.t.Helper()
	names, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	f := imagefmttest.NewFolder()
	for _, n := range names {
		putSparse(b.t, f, n.Name(), b.read(n.Name()))
	}
	return f
}

// putSparse leaves holes where pages are zero, as the host's files have them.
func putSparse(t testing.TB, d *imagefmttest.Folder, name string, content []byte) {
	t.Helper()
	f := d.Put(name, nil)
	if err := imagefmt.WriteSparse(f, content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

// save writes a file from memory back to the folder.
func (b *bench) save(name string, f *imagefmttest.MemFile) {
	b.t.Helper()
	b.write(name, memBytes(b.t, f))
}

func memBytes(t testing.TB, f *imagefmttest.MemFile) []byte {
	t.Helper()
	p := make([]byte, f.Size())
	if err := ondisk.Full(f, p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// truth is what qemu-img reads from an image.
func (b *bench) truth(name string) []byte {
	b.t.Helper()
	b.img("convert -f qcow2 -O raw @" + name + " @truth.raw")
	defer os.Remove(b.path("truth.raw"))
	return b.read("truth.raw")
}

// rawFormat stands for package raw, which this one must not import.
type rawFormat struct{}

type rawImage struct{ src imagefmt.Source }

func (rawFormat) Name() string                                { return "raw" }
func (rawFormat) Probe(imagefmt.Source) (ondisk.Match, error) { return ondisk.Maybe, nil }
func (rawFormat) Open(_ context.Context, src imagefmt.Source, _ imagefmt.OpenOptions) (imagefmt.Image, error) {
	return rawImage{src}, nil
}
func (r rawImage) ReadAt(p []byte, off int64) (int, error) { return r.src.ReadAt(p, off) }
func (r rawImage) Size() int64                             { return r.src.Size() }
func (r rawImage) Info() imagefmt.Info                     { return imagefmt.Info{Format: "raw"} }
func (r rawImage) Close() error                            { return r.src.Close() }
func (r rawImage) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(r.src, off, n)
}

var registry = imagefmt.NewRegistry(Format{}, rawFormat{})

func openMem(t testing.TB, f *imagefmttest.Folder, name string) imagefmt.Image {
	t.Helper()
	img, err := registry.Open(context.Background(), f.Get(name), "qcow2", imagefmt.OpenOptions{})
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// readAll reads a device by its extents: what is said to be zero is not read.
func readAll(t testing.TB, d blockdev.Device) []byte {
	t.Helper()
	p, err := tryReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryReadAll(d blockdev.Device) ([]byte, error) {
	p := make([]byte, d.Size())
	for e, err := range blockdev.Extents(context.Background(), d, 0, d.Size()) {
		if err != nil {
			return nil, err
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		if _, err := d.ReadAt(p[e.Off:e.End()], e.Off); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return p, nil
}

// expectSame compares all bytes three ways: by extents, by one big read and by
// small reads at odd places.
func expectSame(t testing.TB, d blockdev.Device, want []byte) {
	t.Helper()
	if d.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", d.Size(), len(want))
	}
	if got := readAll(t, d); !bytes.Equal(got, want) {
		t.Fatalf("reading by extents differs at %#x", firstDifference(got, want))
	}
	got := make([]byte, len(want))
	if n, err := d.ReadAt(got, 0); n != len(got) || err != nil && err != io.EOF {
		t.Fatalf("one big read: %d, %v", n, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("one big read differs at %#x", firstDifference(got, want))
	}
	rng := rand.New(rand.NewSource(1))
	for range 200 {
		if len(want) == 0 {
			break
		}
		off := rng.Intn(len(want))
		n := min(1+rng.Intn(100_000), len(want)-off)
		if _, err := d.ReadAt(got[:n], int64(off)); err != nil && err != io.EOF {
			t.Fatalf("read %d+%d: %v", off, n, err)
		}
		if !bytes.Equal(got[:n], want[off:off+n]) {
			t.Fatalf("read %d+%d differs at %#x", off, n, off+firstDifference(got[:n], want[off:]))
		}
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// pattern is a disk of all sorts: text, noise, small islands, long holes.
func pattern(size int, seed int64) []byte {
	rng := rand.New(rand.NewSource(seed))
	p := make([]byte, size)
	for at := 0; at < size; {
		n := min(1+rng.Intn(300_000), size-at)
		part := p[at : at+n]
		switch rng.Intn(5) {
		case 0:
			rng.Read(part)
		case 1, 2:
			for i := range part {
				part[i] = "the quick brown fox jumps over the lazy dog\n"[(at+i*i/977)%44]
			}
		case 3:
			rng.Read(part[:min(n, 700)])
		}
		at += n
	}
	return p
}

// patch changes bytes of a file of the folder.
func (b *bench) patch(name string, off int64, p []byte) {
	b.t.Helper()
	f, err := os.OpenFile(b.path(name), os.O_RDWR, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(p, off); err != nil {
		b.t.Fatal(err)
	}
}

func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
