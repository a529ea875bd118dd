package formats

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// matrixSize is whole sectors, and no whole cluster of any format.
const matrixSize = 40<<20 + 512

// foreign is one way in which qemu-img makes an image.
type foreign struct{ format, args string }

var foreigners = []foreign{
	{"raw", ""},
	{"qcow2", ""},
	{"qcow2", "-o compat=0.10,cluster_size=4k"},
	{"qcow2", "-c"},
	{"qcow2", "-c -o compression_type=zstd"},
	{"qcow2", "-o extended_l2=on"},
	{"vmdk", "-o subformat=monolithicSparse"},
	{"vmdk", "-o subformat=monolithicFlat"},
	{"vmdk", "-o subformat=twoGbMaxExtentSparse"},
	{"vmdk", "-o subformat=twoGbMaxExtentFlat"},
	{"vmdk", "-o subformat=streamOptimized"},
	{"vhd", "-o subformat=dynamic,force_size=on"},
	{"vhd", "-o subformat=fixed,force_size=on"},
	{"vhdx", "-o subformat=dynamic"},
	{"vhdx", "-o subformat=fixed"},
	{"vdi", ""},
	{"vdi", "-o static=on"},
}

// unjudged are formats that qemu-img does not know.
var unjudged = []string{"xva"}

// qemuName is what qemu-img calls a format.
func qemuName(format string) string {
	if format == "vhd" {
		return "vpc"
	}
	return format
}

// TestMatrix converts from each format to each, in all the variants that
// configs lists, and has qemu-img judge content and room.
func TestMatrix(t *testing.T) {
	m := newMatrix(t)
	made := map[string]bool{}
	few := testtool.Some(6, foreigners)
	for _, f := range few {
		if _, err := m.registry.Lookup(f.format); err != nil {
			t.Logf("not read: %v", err)
			continue
		}
		made[f.format] = true
		t.Run("from "+strings.TrimSpace(f.format+" "+f.args), func(t *testing.T) {
			t.Parallel()
			m.from(t, f)
		})
	}
	for _, name := range m.registry.Names() {
		if len(few) == len(foreigners) && !made[name] && !slices.Contains(unjudged, name) {
			t.Errorf("format %s has no row in foreigners", name)
		}
	}
}

// matrix is a disk in raw, and what is known already about images of it.
type matrix struct {
	registry *imagefmt.Registry
	raw      string

	mu     sync.Mutex
	same   map[string]bool  // images whose content was judged, by digest
	theirs map[string]int64 // room that qemu-img's image takes, by variant
}

func newMatrix(t *testing.T) *matrix {
	testtool.Need(t, "qemu-img")
	m := &matrix{
		registry: Default(), raw: filepath.Join(t.TempDir(), "disk.raw"),
		same: map[string]bool{}, theirs: map[string]int64{},
	}
	f, err := os.Create(m.raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(3, 3))
	for off := int64(0); off < matrixSize; {
		p := make([]byte, min(1+r.Int64N(2<<20), matrixSize-off))
		kind := r.IntN(6)
		switch kind {
		case 0:
			imagefmttest.Fill(p, off, 1)
		case 1:
			imagefmttest.Fill(p[:min(len(p), 700)], off, 1)
		case 2:
			copy(p, strings.Repeat("all work and no play makes jack a dull boy\n", 10_000))
		}
		if kind < 4 { // 3 writes zeros; the others leave a hole
			if _, err := f.WriteAt(p, off); err != nil {
				t.Fatal(err)
			}
		}
		off += int64(len(p))
	}
	if err := f.Truncate(matrixSize); err != nil {
		t.Fatal(err)
	}
	return m
}

// from reads one foreign image and writes it in every format.
func (m *matrix) from(t *testing.T, f foreign) {
	path := filepath.Join(t.TempDir(), "foreign."+f.format)
	if out, err := f.make(t, m.raw, path); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	src, err := osfile.Open(path, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if got, err := m.registry.Probe(src); err != nil || got.Name() != f.format {
		t.Errorf("Probe: %v, %v", got, err)
	}
	img, err := m.registry.Open(t.Context(), src, f.format, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Size() != matrixSize {
		t.Errorf("%d bytes, want %d", img.Size(), matrixSize)
	}
	for _, to := range m.registry.All() {
		creator, ok := to.(imagefmt.Creator)
		if !ok || slices.Contains(unjudged, to.Name()) {
			continue
		}
		variants := configs[to.Name()].Variants
		if variants == nil {
			variants = []imagefmt.CreateOptions{{}}
		}
		for _, v := range variants {
			m.to(t, img, target{creator, v})
		}
	}
}

// make has qemu-img write the raw disk in its way.
func (f foreign) make(t *testing.T, raw, path string) (string, error) {
	// Nothing here has to survive a crash of the host.
	args := append([]string{"convert", "-t", "unsafe", "-f", "raw", "-O", qemuName(f.format)}, strings.Fields(f.args)...)
	return testtool.Try(t, "qemu-img", append(args, raw, path)...)
}

// to writes the disk and judges what came out. An image of the same bytes as one
// before needs no second judgement, and most are.
func (m *matrix) to(t *testing.T, img imagefmt.Image, g target) {
	dir, err := os.MkdirTemp(t.TempDir(), "to")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "disk."+g.Extension())
	if err := g.write(t.Context(), path, img); err != nil {
		t.Errorf("to %v: %v", g, err)
		return
	}
	if digest := g.String() + digest(t, dir); !m.judged(digest) {
		out, err := testtool.Try(t, "qemu-img", "compare", "-f", qemuName(g.Name()), "-F", "raw", path, m.raw)
		if err != nil || strings.Contains(out, "size mismatch") {
			t.Errorf("to %v: %v\n%s", g, err, out)
		} else {
			m.judge(digest)
		}
	}
	ours, theirs := room(t, dir), m.foreignRoom(t, g)
	if ours > max(theirs+theirs/20, theirs+128<<10) {
		t.Errorf("to %v: %d bytes are allocated, and qemu-img needs %d", g, ours, theirs)
	}
}

func (m *matrix) judged(digest string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.same[digest]
}

func (m *matrix) judge(digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.same[digest] = true
}

// foreignRoom is what qemu-img's own image takes, with the same options if it
// knows them.
func (m *matrix) foreignRoom(t *testing.T, g target) int64 {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	name := g.String()
	if n, ok := m.theirs[name]; ok {
		return n
	}
	dir, err := os.MkdirTemp(filepath.Dir(m.raw), "theirs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "disk."+g.Extension())
	f := foreign{g.Name(), strings.TrimPrefix(name, g.Name())}
	if _, err := f.make(t, m.raw, path); err != nil {
		if out, err := (foreign{format: f.format}).make(t, m.raw, path); err != nil {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
	}
	m.theirs[name] = room(t, dir)
	return m.theirs[name]
}

// room is what the files of a folder take on the host.
func room(t *testing.T, dir string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(testtool.Run(t, "du", "-s", "-B1", dir), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// digest is of the names and bytes of a folder's files.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := xxhash.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "%s\x00", d.Name())
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// write converts img by its extents.
func (g target) write(ctx context.Context, path string, img imagefmt.Image) error {
	out, err := osfile.Create(path, osfile.CreateOptions{})
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := g.fill(ctx, out, img); err != nil {
		return err
	}
	return out.Commit(ctx)
}

func (g target) fill(ctx context.Context, sink imagefmt.Sink, img imagefmt.Image) error {
	w, err := g.Create(ctx, sink, img.Size(), g.opts)
	if err != nil {
		return err
	}
	defer w.Abort()
	for e, err := range blockdev.Extents(ctx, img, 0, img.Size()) {
		if err == nil && e.Kind == blockdev.Zero {
			err = w.Zero(e.Off, e.Len)
		} else if err == nil {
			err = copyData(w, img, e.Off, e.Len)
		}
		if err != nil {
			return err
		}
	}
	return w.Finish(ctx)
}

// copyData copies in pieces that are no multiple of anything, so that they meet
// within clusters.
func copyData(w imagefmt.Writer, img imagefmt.Image, off, n int64) error {
	buf := make([]byte, 1_000_000)
	for end := off + n; off < end; {
		p := buf[:min(int64(len(buf)), end-off)]
		if err := ondisk.Full(img, p, off); err != nil {
			return err
		}
		if _, err := w.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}
