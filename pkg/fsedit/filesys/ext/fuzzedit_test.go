//go:build linux

package ext

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// FuzzEdit edits a filesystem with a few wrong fields: whatever happens, it
// ends, and nothing panics.
func FuzzEdit(f *testing.F) {
	names := seedNames(f)
	for i := range names {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte("\x00\x04\x00\x00\x02\xff\xff"))
		f.Add(uint8(i), []byte("\x20\x08\x00\x00\x00\x06\x00"))
	}
	images := make([][]byte, len(names))
	for i, name := range names {
		images[i] = seedImage(f, name)
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		raw := bytes.Clone(images[int(which)%len(images)])
		mutate(raw, edits)
		reseal(raw)
		within(t, func() { exerciseEditor(raw) })
	})
}

// exerciseEditor does a bit of everything to whatever an image holds.
func exerciseEditor(raw []byte) {
	vol, err := Driver{}.Open(context.Background(), []blockdev.Device{memory{raw}}, filesys.Options{Limits: fuzzLimits})
	if err != nil {
		return
	}
	for range 2 {
		e, err := vol.Edit(filesys.EditOptions{Now: time.Unix(1<<30, 0)})
		if err != nil {
			return
		}
		x := &fuzzEditor{editWorld: editWorld{e}, left: 60}
		x.dir(e.Root(), 0)
		e.Commit(context.Background())
	}
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
	x.WriteFile(file, whole(noise(1, 3000)))
	x.SetXattr(file, "user.x", noise(2, 200))
	x.Mkdir(n, "dir", a)
	x.Symlink(n, "sym", string(bytes.Repeat([]byte("s"), 100)), a)
	for i, d := range list {
		if x.left--; x.left < 0 {
			return
		}
		x.SetXattr(d.Node, "trusted.y", noise(3, 50))
		mode := filesys.Mode(0o640)
		x.SetAttr(d.Node, filesys.SetAttr{Mode: &mode})
		x.WriteFile(d.Node, whole(noise(4, 5000)))
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

// TestEditMutated changes words of the seeds that hold something, which random
// places of a mostly empty disk seldom do.
func TestEditMutated(t *testing.T) {
	seed := modelSeed()
	t.Logf("VMCONV_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	runs := 300
	if os.Getenv("VMCONV_SOAK") != "" {
		runs = 5000
	}
	names := seedNames(t)
	images, words := make([][]byte, len(names)), make([][]int, len(names))
	for i, name := range names {
		images[i] = seedImage(t, name)
		for off := superOffset; off+4 <= len(images[i]); off += 4 {
			if le.Uint32(images[i][off:]) != 0 {
				words[i] = append(words[i], off)
			}
		}
	}
	for range runs {
		i := r.IntN(len(names))
		raw := bytes.Clone(images[i])
		for range 1 + r.IntN(6) {
			spoil(r, raw[words[i][r.IntN(len(words[i]))]:][:4])
		}
		reseal(raw)
		within(t, func() { exerciseEditor(raw) })
	}
}

// spoil puts a wrong value into a word.
func spoil(r *rand.Rand, p []byte) {
	edges := []uint32{0, 1, 2, 3, 4, 8, 12, 100, 1000, 10000, 0x7FFF, 0x8000, 0xFFFF, 0x10001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
	edge := edges[r.IntN(len(edges))]
	switch r.IntN(5) {
	case 0:
		le.PutUint32(p, edge)
	case 1:
		le.PutUint16(p, uint16(edge))
	case 2:
		le.PutUint16(p[2:], uint16(edge))
	case 3:
		p[r.IntN(4)] ^= 1 << r.IntN(8)
	case 4:
		le.PutUint32(p, le.Uint32(p)+r.Uint32N(9)-4)
	}
}
