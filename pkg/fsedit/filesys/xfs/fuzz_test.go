package xfs

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

// seeds are small filesystems, compressed; testdata/README tells how they were made.
//
//go:embed testdata/*.img.gz
var seeds embed.FS

// seed is one of them, with the sectors that hold something.
type seed struct {
	name    string
	raw     []byte
	sectors []int64
	logs    []int64 // of the log
	geometry
}

func loadSeed(t testing.TB, name string) *seed {
	t.Helper()
	packed, err := seeds.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	s := &seed{name: name}
	if s.raw, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	v, err := newVolume(blockdev.FromBytes(s.raw), fuzzLimits)
	if err != nil {
		t.Fatal(err)
	}
	s.geometry = v.geometry
	l := v.log()
	for off := int64(0); off < int64(len(s.raw)); off += minSector {
		p := s.raw[off:][:minSector]
		if ondisk.IsZero(p) {
			continue
		}
		if off >= l.off && off < l.off+l.size<<logBlockBits {
			s.logs = append(s.logs, off)
			if be.Uint32(p) == logMagic {
				clear(p[rhCRC:][:4]) // so that changed records are read
			}
		} else {
			s.sectors = append(s.sectors, off)
		}
	}
	return s
}

func loadSeeds(t testing.TB) (out []*seed) {
	t.Helper()
	list, err := seeds.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, loadSeed(t, e.Name()))
	}
	return out
}

// fuzzLimits keep one input from using much of anything.
var fuzzLimits = ondisk.Limits{Cache: 1 << 20, Table: 1 << 20, Entries: 5000, Text: 1 << 20}

// mutated applies edits of 7 bytes to one of sectors: which (2), where in it (2),
// how, and a value (2). Checksums are made right again.
func (s *seed) mutated(sectors []int64, edits []byte) *blockdev.Overlay {
	o := blockdev.NewOverlay(blockdev.FromBytes(s.raw), blockdev.OverlayOptions{Memory: 256 << 20})
	for n := 0; len(edits) >= 7 && n < 30; edits, n = edits[7:], n+1 {
		off := sectors[int(le.Uint16(edits))%len(sectors)]
		p := make([]byte, minSector)
		o.ReadAt(p, off)
		at := int(le.Uint16(edits[2:])) % (minSector - 8)
		switch edits[4] % 5 {
		case 0:
			p[at] = edits[5]
		case 1:
			copy(p[at&^1:], edits[5:7])
		case 2:
			be.PutUint32(p[at&^3:], uint32(int16(be.Uint16(edits[5:]))))
		case 3:
			p[at] ^= 1 << (edits[5] % 8)
		case 4:
			be.PutUint64(p[at&^7:], uint64(int16(be.Uint16(edits[5:]))))
		}
		o.WriteAt(p, off)
		s.reseal(o, off)
	}
	return o
}

// reseal makes the checksum of the structure around off right.
func (s *seed) reseal(o *blockdev.Overlay, off int64) {
	if !s.v5() {
		return
	}
	seal := func(off, n int64) bool {
		p := make([]byte, n)
		o.ReadAt(p, off)
		if st, ok := stampOf(p); ok {
			st.seal(p)
			o.WriteAt(p, off)
			return true
		}
		if be.Uint16(p) == inodeMagic && n == int64(s.inodeSize) {
			inodeStamp.seal(p)
			o.WriteAt(p, off)
			return true
		}
		return false
	}
	if off%(int64(s.agBlocks)*s.blockSize) < 4*s.sectorSize {
		seal(ondisk.AlignDown(off, s.sectorSize), s.sectorSize)
		return
	}
	if !seal(ondisk.AlignDown(off, s.blockSize), s.blockSize) {
		seal(ondisk.AlignDown(off, int64(s.inodeSize)), int64(s.inodeSize))
	}
}

// exercise opens an image and reads all of it; it returns how many objects were
// read without an error.
func exercise(dev blockdev.Device) int {
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
	v.FreeExtents(context.Background())
	w := &fuzzWalk{tree: tree{v}, seen: map[filesys.Node]bool{}}
	w.walk(w.tree.Root())
	return w.good
}

type fuzzWalk struct {
	tree tree
	seen map[filesys.Node]bool
	good int
}

func (w *fuzzWalk) walk(n filesys.Node) {
	if w.seen[n] || len(w.seen) > 3000 {
		return
	}
	w.seen[n] = true
	if w.visit(n) {
		w.good++
	}
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
	for range 400 {
		if off >= dev.Size() {
			break
		}
		e, err := blockdev.NextExtent(dev, off, dev.Size()-off)
		if err != nil {
			break
		}
		off = e.End()
	}
	return err == nil
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

// FuzzOpen changes a few fields of a good filesystem.
func FuzzOpen(f *testing.F) {
	images := loadSeeds(f)
	for i := range images {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte("\x00\x00\x54\x00\x02\xff\xff"))
		f.Add(uint8(i), []byte("\x09\x00\x4c\x00\x02\x7f\xff\x0a\x00\x38\x00\x04\x7f\xff"))
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		s := images[int(which)%len(images)]
		within(t, func() { exercise(s.mutated(s.sectors, edits)) })
	})
}

// FuzzLog changes a log that must be replayed.
func FuzzLog(f *testing.F) {
	s := loadSeed(f, "dirty.img.gz")
	f.Add([]byte{})
	for _, edit := range []string{"\x01\x00\x0c\x00\x02\x7f\xff", "\x02\x00\x04\x00\x01\x00\x01", "\x09\x00\x28\x00\x00\xff\x00", "\x02\x00\x40\x00\x04\xff\xff"} {
		f.Add([]byte(edit))
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		within(t, func() { exercise(s.mutated(s.logs, edits)) })
	})
}

// TestSeedsAreGood: a fuzz target on images that do not open finds nothing.
func TestSeedsAreGood(t *testing.T) {
	for _, s := range loadSeeds(t) {
		if n := exercise(s.mutated(nil, nil)); n < 20 {
			t.Errorf("%s: %d objects", s.name, n)
		}
	}
}
