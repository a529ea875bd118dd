//go:build linux

package xfs

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// FuzzEdit edits a filesystem with a few wrong fields: whatever happens, it ends,
// and nothing panics.
func FuzzEdit(f *testing.F) {
	images := loadSeeds(f)
	for i := range images {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte("\x00\x00\x54\x00\x02\xff\xff"))
		f.Add(uint8(i), []byte("\x09\x00\x4c\x00\x02\x7f\xff\x0a\x00\x38\x00\x04\x7f\xff"))
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		s := images[int(which)%len(images)]
		within(t, func() { exerciseEditor(s.mutated(s.sectors, edits)) })
	})
}

// exerciseEditor does a bit of everything to whatever an image holds, and tells how
// many transactions there were.
func exerciseEditor(dev blockdev.Device) (done int) {
	vol, err := Driver{}.Open(context.Background(), []blockdev.Device{dev}, filesys.Options{Limits: fuzzLimits})
	if err != nil {
		return 0
	}
	for range 2 {
		e, err := vol.Edit(filesys.EditOptions{Now: time.Unix(1<<30, 0)})
		if err != nil {
			return done
		}
		x := &fuzzEditor{editWorld: editWorld{e}, left: 60}
		x.dir(e.Root(), 0)
		if e.Commit(context.Background()) == nil {
			done++
		}
	}
	return done
}

type fuzzEditor struct {
	editWorld
	left int
}

// dir changes a directory, what it holds, and those below.
func (x *fuzzEditor) dir(n filesys.Node, depth int) {
	list, err := x.ReadDir(n)
	if err != nil || depth > 5 {
		return
	}
	a := filesys.NewAttr{Mode: 0o755}
	file, _ := x.Create(n, "made", a)
	x.WriteFile(file, blockdev.FromBytes(bytes.Repeat([]byte("made"), 800)))
	x.SetXattr(file, "user.x", make([]byte, 400))
	x.Mkdir(n, "dir", a)
	x.Symlink(n, "sym", string(bytes.Repeat([]byte("s"), 400)), a)
	for i, d := range list {
		if x.left--; x.left < 0 {
			return
		}
		x.SetXattr(d.Node, "trusted.y", make([]byte, 50))
		mode := filesys.Mode(0o640)
		x.SetAttr(d.Node, filesys.SetAttr{Mode: &mode})
		x.WriteFile(d.Node, blockdev.FromBytes(make([]byte, 5000)))
		x.dir(d.Node, depth+1)
		switch i % 4 {
		case 0:
			x.Remove(n, d.Name)
		case 1:
			x.Rename(n, d.Name, x.Root(), "moved")
		case 2:
			x.Link(d.Node, n, "link")
		}
	}
}

// TestEditMutated changes words that hold something, which random places of a mostly
// empty disk seldom do.
func TestEditMutated(t *testing.T) {
	seed := modelSeed()
	t.Logf("VMCONV_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	runs := 300
	if os.Getenv("VMCONV_SOAK") != "" {
		runs = 6000
	}
	images := loadSeeds(t)
	for range runs {
		s := images[r.IntN(len(images))]
		var edits []byte
		for range 1 + r.IntN(5) {
			sector := r.IntN(len(s.sectors))
			at := s.sectors[sector]
			in := 4 * r.IntN(minSector/4)
			for range 20 {
				if be.Uint32(s.raw[at+int64(in):]) != 0 {
					break
				}
				in = 4 * r.IntN(minSector/4)
			}
			edits = append(edits, byte(sector), byte(sector>>8), byte(in), byte(in>>8), byte(r.IntN(8)), byte(r.IntN(256)), byte(r.IntN(256)))
		}
		within(t, func() { exerciseEditor(s.mutated(s.sectors, edits)) })
	}
}

// TestEditedSeeds: the editor is not refused by the seeds as they are, and
// xfs_repair(8) has no word about what becomes of them.
func TestEditedSeeds(t *testing.T) {
	for _, s := range loadSeeds(t) {
		dev := s.mutated(nil, nil)
		if n := exerciseEditor(dev); n != 2 {
			t.Errorf("%s: %d transactions", s.name, n)
			continue
		}
		image := fsedittest.NewImage(t, int64(len(s.raw)))
		if err := os.WriteFile(image, s.raw, 0o600); err != nil {
			t.Fatal(err)
		}
		fsedittest.Save(t, dev, image)
		checkRepair(t, image)
	}
}
