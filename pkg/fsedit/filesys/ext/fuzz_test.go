package ext

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"io"
	"path"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// seeds are small filesystems that mke2fs and the kernel filled, compressed;
// testdata/README tells how.
//
//go:embed testdata/*.img.gz
var seeds embed.FS

func seedImage(t testing.TB, name string) []byte {
	t.Helper()
	packed, err := seeds.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func seedNames(t testing.TB) (names []string) {
	t.Helper()
	list, err := seeds.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// fuzzLimits keep one input from using much of anything.
var fuzzLimits = ondisk.Limits{Cache: 1 << 20, Table: 1 << 20, Entries: 5000}

// memory is a small image that can be written.
type memory struct{ raw []byte }

func (m memory) Size() int64 { return int64(len(m.raw)) }
func (m memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.raw).ReadAt(p, off)
}
func (m memory) Sync() error { return nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > m.Size() || int64(len(p)) > m.Size()-off {
		return 0, io.ErrShortWrite
	}
	return copy(m.raw[off:], p), nil
}

// mutate applies edits of 7 bytes: where (4, modulo the size), width and two of
// value.
func mutate(raw, edits []byte) {
	for ; len(edits) >= 7 && len(raw) > 4; edits = edits[7:] {
		off := int(le.Uint32(edits) % uint32(len(raw)-4))
		switch edits[4] % 4 {
		case 0:
			raw[off] = edits[5]
		case 1:
			le.PutUint16(raw[off&^1:], le.Uint16(edits[5:]))
		case 2:
			le.PutUint32(raw[off&^3:], uint32(int16(le.Uint16(edits[5:]))))
		case 3:
			raw[off] ^= 1 << (edits[5] % 8)
		}
	}
}

// exercise opens an image, walks all of it and reads the start of every file.
// It returns how many objects were read without an error.
func exercise(raw []byte, replayOnly bool) int {
	dev := memory{raw}
	if m, _, err := (Driver{}).Probe(dev); err != nil || m == ondisk.None {
		return 0
	}
	vol, err := Driver{}.Open(context.Background(), []blockdev.Device{dev}, filesys.Options{Limits: fuzzLimits})
	if err != nil {
		return 0
	}
	v := vol.(*volume)
	v.Info()
	v.Space()
	if replayOnly {
		return 1
	}
	v.FreeExtents(context.Background())
	n := 0
	w := &fuzzWalk{tree: tree{v}, seen: map[filesys.Node]bool{}}
	w.walk(inoRoot)
	for i := range filesys.Node(v.inodeCount) {
		if i > 2000 {
			break
		}
		if w.visit(i) {
			n++
		}
	}
	return n
}

type fuzzWalk struct {
	tree tree
	seen map[filesys.Node]bool
}

func (w *fuzzWalk) walk(n filesys.Node) {
	if w.seen[n] {
		return
	}
	w.seen[n] = true
	list, err := w.tree.ReadDir(n)
	if err != nil {
		return
	}
	for i, d := range list {
		if i < 20 {
			w.tree.Lookup(n, d.Name)
		}
		w.walk(d.Node)
	}
}

func (w *fuzzWalk) visit(n filesys.Node) bool {
	_, err := w.tree.Attr(n)
	w.tree.Xattrs(n)
	w.tree.Readlink(n)
	dev, oerr := w.tree.Open(n)
	if oerr != nil {
		return err == nil
	}
	p := make([]byte, 5000)
	dev.ReadAt(p, 0)
	dev.ReadAt(p, max(0, dev.Size()-4000))
	off := int64(0)
	for range 300 {
		if off >= dev.Size() {
			break
		}
		e, err := blockdev.NextExtent(dev, off, dev.Size()-off)
		if err != nil {
			break
		}
		off = e.End()
	}
	if in, err := w.tree.v.node(n); err == nil && w.tree.v.hasMap(in) {
		w.tree.v.mapOf(in).visit(func(run) error { return nil }, func(uint64) error { return nil })
	}
	return err == nil
}

// within fails when f takes longer than any input may.
func within(t *testing.T, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// FuzzOpen changes a few fields of a good filesystem without checksums, so that
// nothing but the checks of the fields themselves stands in the way, or with.
func FuzzOpen(f *testing.F) {
	names := seedNames(f)
	for i := range names {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte("\x00\x04\x00\x00\x02\xff\xff"))
		f.Add(uint8(i), []byte("\x18\x04\x00\x00\x00\x06\x00"))
	}
	images := make([][]byte, len(names))
	for i, name := range names {
		images[i] = seedImage(f, name)
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		raw := bytes.Clone(images[int(which)%len(images)])
		mutate(raw, edits)
		reseal(raw)
		within(t, func() { exercise(raw, false) })
	})
}

// reseal makes the superblock's checksum right again, so that a change of it is
// not refused at once.
func reseal(raw []byte) {
	if len(raw) >= superOffset+superSize {
		sealSuper(raw[superOffset:][:superSize])
	}
}

// FuzzJournal changes a filesystem with a log to replay.
func FuzzJournal(f *testing.F) {
	for _, name := range []string{"dirty.img.gz", "dirty-v3.img.gz"} {
		image := seedImage(f, name)
		v, err := newVolume(memory{image}, fuzzLimits)
		if err != nil {
			f.Fatal(err)
		}
		j, err := v.openJournal()
		if err != nil {
			f.Fatal(err)
		}
		off, err := j.place(0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name == "dirty.img.gz", []byte{})
		for _, field := range []int64{0xC, 0x10, 0x14, 0x1C, 0x28, 0x40C, 0x414} {
			f.Add(name == "dirty.img.gz", append(le.AppendUint32(nil, uint32(off+field)), 2, 0xFF, 0x7F))
		}
	}
	images := map[bool][]byte{true: seedImage(f, "dirty.img.gz"), false: seedImage(f, "dirty-v3.img.gz")}
	f.Fuzz(func(t *testing.T, which bool, edits []byte) {
		raw := bytes.Clone(images[which])
		mutate(raw, edits)
		reseal(raw)
		within(t, func() { exercise(raw, true) })
	})
}

// TestSeedsAreGood: a fuzz target on images that do not open finds nothing.
func TestSeedsAreGood(t *testing.T) {
	for _, name := range seedNames(t) {
		if n := exercise(seedImage(t, name), false); n < 20 {
			t.Errorf("%s: %d objects", name, n)
		}
	}
}
