//go:build linux

package fat

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
)

// TestMutated changes words of the seeds that hold something, which random places
// of a mostly empty disk seldom do, and then reads and edits what came out.
func TestMutated(t *testing.T) {
	seed := modelSeed()
	t.Logf("VMCONV_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	runs := 150
	if os.Getenv("VMCONV_SOAK") != "" {
		runs = 20000
	}
	images := seedImages(t)
	images = append(images[:1], images[2]) // the small ones
	words := make([][]int, len(images))
	for i, raw := range images {
		for off := 0; off+4 <= len(raw); off += 4 {
			if le.Uint32(raw[off:]) != 0 && raw[off] != 'x' && raw[off] != '\n' {
				words[i] = append(words[i], off)
			}
		}
	}
	for range runs {
		i := r.IntN(len(images))
		raw := bytes.Clone(images[i])
		for range 1 + r.IntN(4) {
			spoilWord(r, raw[words[i][r.IntN(len(words[i]))]:][:4])
		}
		reseal(raw)
		within(t, func() {
			exercise(t, raw)
			exerciseEditor(t, raw)
		})
		if t.Failed() {
			return
		}
	}
}

// spoilWord puts a wrong value into a word.
func spoilWord(r *rand.Rand, p []byte) {
	edges := []uint32{0, 1, 2, 3, 8, 20, 100, 1000, 0x7FFF, 0x8000, 0xFFFF, 0x10001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
	edge := edges[r.IntN(len(edges))]
	switch r.IntN(6) {
	case 0:
		le.PutUint32(p, edge)
	case 1:
		le.PutUint16(p, uint16(edge))
	case 2:
		le.PutUint16(p[2:], uint16(edge))
	case 3:
		p[r.IntN(4)] ^= 1 << r.IntN(8)
	case 4:
		p[r.IntN(4)] = []byte{slotEnd, slotDeleted, attrLong, attrDir, attrVolume, '.'}[r.IntN(6)]
	case 5:
		le.PutUint32(p, le.Uint32(p)+r.Uint32N(9)-4)
	}
}
