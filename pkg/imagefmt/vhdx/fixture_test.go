package vhdx

import (
	"bytes"
	"context"
	"crypto/sha256"
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

var registry = imagefmt.NewRegistry(Format{})

// bench is a folder of the host where the judging programs work, and the way from
// there to files in memory, which our code sees.
type bench struct {
	t   testing.TB
	dir string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	testtool.Need(t, "qemu-img", "qemu-io")
	return &bench{t, t.TempDir()}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// img runs qemu-img; words that begin with @ are files of the folder.
func (b *bench) img(command string) string {
	b.t.Helper()
	return testtool.Img(b.t, b.dir, command)
}

// io runs qemu-io commands on an image.
func (b *bench) io(name string, commands ...string) {
	b.t.Helper()
	testtool.IO(b.t, layer, b.path(name), commands...)
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

// load puts files of the host into a folder in memory; holes stay holes.
func (b *bench) load(names ...string) *imagefmttest.Folder {
	b.t.Helper()
	folder := imagefmttest.NewFolder()
	for _, name := range names {
		content := b.read(name)
		f := folder.Put(name, nil)
		if err := imagefmt.WriteSparse(f, content, 0); err != nil {
			b.t.Fatal(err)
		}
		if err := f.Truncate(int64(len(content))); err != nil {
			b.t.Fatal(err)
		}
	}
	return folder
}

func must(t testing.TB, w io.WriterAt, p []byte, off int64) {
	t.Helper()
	if _, err := w.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

// save writes a file from memory to the host, with its holes.
func (b *bench) save(name string, f *imagefmttest.MemFile) {
	b.t.Helper()
	out, err := os.Create(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	for e, err := range blockdev.Extents(context.Background(), f, 0, f.Size()) {
		if err != nil {
			b.t.Fatal(err)
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		p := make([]byte, e.Len)
		if err := ondisk.Full(f, p, e.Off); err != nil {
			b.t.Fatal(err)
		}
		must(b.t, out, p, e.Off)
	}
	if err := out.Truncate(f.Size()); err != nil {
		b.t.Fatal(err)
	}
}

// truth is what qemu-img reads from an image.
func (b *bench) truth(name string) []byte {
	b.t.Helper()
	b.img("convert -f vhdx -O raw @" + name + " @truth.raw")
	defer os.Remove(b.path("truth.raw"))
	return b.read("truth.raw")
}

// pattern is n bytes with data, zeros, and both within one block.
func pattern(n int, seed int64) []byte {
	rng := rand.New(rand.NewSource(seed))
	p := make([]byte, n)
	for off := 0; off < n; {
		run := min(n-off, 1+rng.Intn(1<<uint(9+rng.Intn(13))))
		if rng.Intn(2) == 0 {
			rng.Read(p[off : off+run])
		}
		off += run
	}
	return p
}

func readAll(t testing.TB, img blockdev.Device) []byte {
	t.Helper()
	p := make([]byte, img.Size())
	if err := ondisk.Full(img, p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func openIn(t testing.TB, f *imagefmttest.Folder, name string) imagefmt.Image {
	t.Helper()
	img, err := registry.Open(context.Background(), f.Get(name), layer, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func openMem(t testing.TB, f *imagefmttest.MemFile) imagefmt.Image {
	t.Helper()
	img, err := Format{}.Open(context.Background(), f, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// expectChecked wants our own check to find nothing.
func expectChecked(t testing.TB, src imagefmt.Source) imagefmt.CheckResult {
	t.Helper()
	r, err := Format{}.Check(context.Background(), src, imagefmt.OpenOptions{}, nil)
	if err != nil || r.Corrupt > 0 {
		t.Errorf("check: %v %q", err, r.Corruptions)
	}
	return r
}

// options reads "a=b,c=d".
func options(text string) imagefmt.CreateOptions {
	o := imagefmt.CreateOptions{Values: map[string]string{}}
	for _, kv := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		k, v, _ := strings.Cut(kv, "=")
		o.Values[k] = v
	}
	return o
}

// create writes content as an image to sink, in pieces of odd lengths.
func create(t testing.TB, sink imagefmt.Sink, content []byte, opts string) {
	t.Helper()
	ctx := context.Background()
	o := options(opts)
	sum := sha256.Sum256(content)
	o.Rand = bytes.NewReader(sum[:])
	w, err := Format{}.Create(ctx, sink, int64(len(content)), o)
	if err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(content); {
		n := min(len(content)-off, 3_333_333)
		must(t, w, content[off:off+n], int64(off))
		off += n
	}
	if err := w.Finish(ctx); err != nil {
		t.Fatal(err)
	}
}

// pyvhdi opens the images in the order child, parent, … and compares the child
// with a raw file.
const pyvhdi = `
import pyvhdi, sys
raw = open(sys.argv[1], "rb")
files = []
for name in sys.argv[2:]:
    f = pyvhdi.file()
    f.open(name)
    files.append(f)
for child, parent in zip(files, files[1:]):
    child.set_parent(parent)
off, same = 0, True
while off < files[0].get_media_size():
    n = min(1 << 20, files[0].get_media_size() - off)
    want = raw.read(n)
    same = same and files[0].read_buffer_at_offset(n, off) == want
    off += n
print(same and raw.read(1) == b"")
`

// expectLibvhdi wants libvhdi to read content from the first of the images.
func (b *bench) expectLibvhdi(content []byte, names ...string) {
	b.t.Helper()
	b.write("want.raw", content)
	args := []string{"-c", pyvhdi, b.path("want.raw")}
	for _, n := range names {
		args = append(args, b.path(n))
	}
	if out := testtool.Run(b.t, "/usr/bin/python3", args...); strings.TrimSpace(out) != "True" {
		b.t.Errorf("libvhdi reads other bytes from %v: %s", names, out)
	}
}

// expectSame compares whole disks.
func expectSame(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: byte %#x is %#x, want %#x", what, i, got[i], want[i])
			return
		}
	}
	t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
}
