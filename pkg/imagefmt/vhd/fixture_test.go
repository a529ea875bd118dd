package vhd

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// registry opens parents as the program does.
var registry = imagefmt.NewRegistry(Format{})

// values are options for Create, written "k=v,k=v".
func values(text string) imagefmt.CreateOptions {
	opts := imagefmt.CreateOptions{Values: map[string]string{}}
	for _, kv := range strings.Split(text, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			opts.Values[k] = v
		}
	}
	return opts
}

// pattern is a disk of all sorts: noise, small islands, long holes.
func pattern(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	p := make([]byte, size)
	for at := 0; at < size; {
		n := min(1+r.IntN(300_000), size-at)
		switch r.IntN(4) {
		case 0:
			imagefmttest.Fill(p[at:at+n], int64(at), seed)
		case 1:
			imagefmttest.Fill(p[at:at+min(n, 700)], int64(at), seed)
		}
		at += n
	}
	return p
}

// create writes an image of content with one WriteAt for each piece.
func create(t testing.TB, sink imagefmt.Sink, content []byte, opts imagefmt.CreateOptions, piece int) {
	t.Helper()
	w, err := Format{}.Create(context.Background(), sink, int64(len(content)), opts)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(content); at += piece {
		if _, err := w.WriteAt(content[at:min(at+piece, len(content))], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// created is create in memory.
func created(t testing.TB, content []byte, options string) *imagefmttest.MemFile {
	t.Helper()
	sink := imagefmttest.NewSink("disk.vhd")
	create(t, sink, content, values(options), 1<<20)
	return sink.File()
}

func open(t testing.TB, src imagefmt.Source) imagefmt.Image {
	t.Helper()
	img, err := registry.Open(context.Background(), src, "vhd", imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// load puts a file of the host into memory, its pages of zeros as holes.
func load(t testing.TB, path string) *imagefmttest.MemFile {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := imagefmttest.NewSource(filepath.Base(path), nil)
	if err := imagefmt.WriteSparse(f, content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
	return f
}

// save writes a file from memory to the host, and returns its path.
func save(t testing.TB, f *imagefmttest.MemFile, dir, name string) string {
	t.Helper()
	return saveBytes(t, f.Bytes(), dir, name)
}

func saveBytes(t testing.TB, content []byte, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pyvhdi is what libvhdi reads: of an image, and its parents in order. It reads
// no more than the smallest block at once, and a sector of a chain, since libvhdi
// 20210425 takes the second of two blocks or images that one read touches for
// zeros.
func pyvhdi(t testing.TB, images ...string) []byte {
	t.Helper()
	const script = `
import sys, pyvhdi
out, files = sys.argv[1], []
for name in sys.argv[2:]:
    f = pyvhdi.file()
    f.open(name)
    if files:
        files[-1].set_parent(f)
    files.append(f)
with open(out, "wb") as o:
    left, step = files[0].get_media_size(), 512 if len(files) > 1 else 512 << 10
    while left > 0:
        p = files[0].read_buffer(min(left, step))
        o.write(p)
        left -= len(p)
`
	out := filepath.Join(t.TempDir(), "out.raw")
	testtool.Run(t, "/usr/bin/python3", append([]string{"-c", script, out}, images...)...)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sevenZip is what 7-Zip extracts from an image.
func sevenZip(t testing.TB, image string) []byte {
	t.Helper()
	dir := t.TempDir()
	testtool.Run(t, "7zz", "e", "-y", "-tVHD", "-o"+dir, image)
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("7zz made %v, %v", names, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, names[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// qemuImg is what qemu-img reads.
func qemuImg(t testing.TB, image string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.raw")
	testtool.Run(t, "qemu-img", "convert", "-t", "unsafe", "-f", "vpc", "-O", "raw", image, out)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// same compares what a program read with what it should have.
func same(t testing.TB, who string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d bytes, want %d", who, len(got), len(want))
		return
	}
	if !bytes.Equal(got, want) {
		at := 0
		for got[at] == want[at] {
			at++
		}
		t.Errorf("%s: differs at %#x", who, at)
	}
}

// padded is content to the end of its last sector.
func padded(content []byte, to int64) []byte {
	return append(bytes.Clone(content), make([]byte, ondisk.AlignUp(int64(len(content)), to)-int64(len(content)))...)
}

// patchFooter changes a footer of an image in memory and reseals it.
func patchFooter(image []byte, at int, change func(p []byte)) {
	p := image[at : at+footerSize]
	change(p)
	seal(p, offFooterChecksum)
}

// patchHeader changes the header of an image that is laid out as ours are.
func patchHeader(image []byte, change func(p []byte)) {
	p := image[footerSize:][:headerSize]
	change(p)
	seal(p, offHeaderChecksum)
}

func be32(p []byte, at int, v uint32) { binary.BigEndian.PutUint32(p[at:], v) }
func be64(p []byte, at int, v uint64) { binary.BigEndian.PutUint64(p[at:], v) }

// readAll reads a device whole.
func readAll(img imagefmt.Image) ([]byte, error) {
	p := make([]byte, img.Size())
	n, err := img.ReadAt(p, 0)
	if n == len(p) || err == io.EOF {
		err = nil
	}
	return p, err
}
