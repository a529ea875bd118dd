//go:build linux

package fat

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"io"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// seeds are small filesystems; testdata/README tells how they were made.
//
//go:embed testdata/*.img.gz
var seeds embed.FS

func seedImage(t testing.TB, bits string) []byte {
	t.Helper()
	packed, err := seeds.ReadFile("testdata/fat" + bits + ".img.gz")
	must(t, err)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	raw, err := io.ReadAll(z)
	must(t, err)
	return raw
}

func seedImages(t testing.TB) (images [][]byte) {
	for _, bits := range []string{"12", "16", "32"} {
		images = append(images, seedImage(t, bits))
	}
	return images
}

// fuzzLimits keep one input from using much of anything.
var fuzzLimits = ondisk.Limits{Cache: 1 << 20, Table: 1 << 20, Entries: 5000}

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

// reseal makes the tables the same again, so that a change of the first is not
// refused for that alone.
func reseal(raw []byte) {
	b, err := readBoot(blockdev.FromBytes(raw))
	if err != nil {
		return
	}
	g, err := b.geometry(int64(len(raw)))
	for table := 1; err == nil && table < g.fats; table++ {
		copy(raw[g.tableOff(table):][:g.fatLen], raw[g.fatOff:])
	}
}

// within fails when f takes longer than any input may.
func within(t *testing.T, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// exercise opens an image, walks it and reads the start and end of every file.
// It returns how many objects were read without an error.
func exercise(t testing.TB, raw []byte) int {
	dev := blockdev.FromBytes(raw)
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
	free, _ := v.FreeExtents(context.Background())
	for i, r := range free {
		if r.Off < v.dataOff || r.Off+r.Len > v.size || i > 0 && r.Off <= free[i-1].Off+free[i-1].Len {
			t.Errorf("free %+v", r)
		}
	}
	w := &fuzzWalk{tree: tree{v}, left: 3000}
	w.walk(rootNode, 0)
	return w.read
}

type fuzzWalk struct {
	tree       tree
	left, read int
}

func (w *fuzzWalk) walk(dir filesys.Node, depth int) {
	list, err := w.tree.ReadDir(dir)
	if err != nil || depth > 8 {
		return
	}
	for i, d := range list {
		if w.left--; w.left < 0 {
			return
		}
		if i < 5 {
			w.tree.Lookup(dir, d.Name)
		}
		if _, err := w.tree.Attr(d.Node); err == nil {
			w.read++
		}
		if f, err := w.tree.Open(d.Node); err == nil {
			p := make([]byte, 3000)
			f.ReadAt(p, 0)
			f.ReadAt(p, max(0, f.Size()-100))
			if f.Size() > 0 {
				blockdev.NextExtent(f, f.Size()/2, 1)
			}
		}
		w.walk(d.Node, depth+1)
	}
}

func addSeeds(f *testing.F) {
	for i := range uint8(3) {
		f.Add(i, []byte{})
		for _, off := range []byte{11, 13, 14, 16, 17, 19, 22, 36, 44, 48} {
			f.Add(i, []byte{off, 0, 0, 0, 0, 0xFF, 0})
			f.Add(i, []byte{off, 0, 0, 0, 0, 0, 0})
		}
		f.Add(i, []byte("\x03\x02\x00\x00\x01\x03\x00"))
		f.Add(i, []byte("\x04\x10\x00\x00\x02\x02\x00"))
	}
}

// FuzzOpen changes a few fields of a good filesystem.
func FuzzOpen(f *testing.F) {
	addSeeds(f)
	images := seedImages(f)
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		raw := bytes.Clone(images[int(which)%len(images)])
		mutate(raw, edits)
		reseal(raw)
		within(t, func() { exercise(t, raw) })
	})
}

// FuzzEdit edits a filesystem with a few wrong fields: whatever happens, it ends,
// nothing panics, and what is committed can be edited again.
func FuzzEdit(f *testing.F) {
	addSeeds(f)
	images := seedImages(f)
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		raw := bytes.Clone(images[int(which)%len(images)])
		mutate(raw, edits)
		reseal(raw)
		within(t, func() { exerciseEditor(t, raw) })
	})
}

// exerciseEditor does a bit of everything to whatever an image holds.
func exerciseEditor(t testing.TB, raw []byte) {
	vol, err := Driver{}.Open(context.Background(), []blockdev.Device{memory{raw}}, filesys.Options{Limits: fuzzLimits})
	if err != nil {
		return
	}
	for i := range 2 {
		e, err := vol.Edit(filesys.EditOptions{Now: testNow})
		if err != nil {
			if i > 0 {
				t.Errorf("after a commit: %v", err)
			}
			return
		}
		x := &fuzzEditor{world: world{e}, left: 60}
		x.dir(e.Root(), 0)
		if err := e.Commit(context.Background()); err != nil {
			t.Errorf("commit: %v", err)
			return
		}
	}
}

type fuzzEditor struct {
	world
	left int
}

// dir changes a directory, what it holds, and those below.
func (x *fuzzEditor) dir(n filesys.Node, depth int) {
	list, err := x.ReadDir(n)
	if err != nil || depth > 5 {
		return
	}
	a := filesys.NewAttr{Mode: 0o755}
	file, _ := x.Create(n, "made by the fuzzer", a)
	x.WriteFile(file, blockdev.FromBytes(noise(1, 3000)))
	x.Mkdir(n, "dir", a)
	for i, d := range list {
		if x.left--; x.left < 0 {
			return
		}
		x.SetAttr(d.Node, filesys.SetAttr{Mtime: &testNow})
		x.WriteFile(d.Node, blockdev.FromBytes(noise(4, 5000)))
		x.dir(d.Node, depth+1)
		switch i % 4 {
		case 0:
			x.Remove(n, d.Name)
		case 1:
			x.Rename(n, d.Name, x.Root(), "moved to the root")
		case 2:
			x.Rename(n, d.Name, n, "renamed "+d.Name)
		}
	}
}

// TestSeedsAreGood: a fuzz target on images that do not open finds nothing.
func TestSeedsAreGood(t *testing.T) {
	for i, raw := range seedImages(t) {
		if n := exercise(t, raw); n < 25 {
			t.Errorf("seed %d: %d objects", i, n)
		}
		exerciseEditor(t, raw)
	}
}
