//go:build linux

package fat

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

func TestLayoutSizes(t *testing.T) {
	for _, x := range []struct {
		name string
		v    any
		want int
	}{
		{"boot sector", bootSector{}, bootSize},
		{"wide parameter block", wideBPB{}, wideSize},
		{"extended boot sector", extended{}, extendedLen},
		{"information sector", infoSector{}, infoSize},
		{"slot", slot{}, slotSize},
	} {
		if got := binary.Size(x.v); got != x.want {
			t.Errorf("%s: %d bytes, want %d", x.name, got, x.want)
		}
	}
}

func TestHandDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := make([]byte, slotSize)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		var want slot
		if _, err := binary.Decode(p, le, &want); err != nil {
			t.Fatal(err)
		}
		if got := decodeSlot(p); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

// TestEntries: what is put into a table comes out, and nothing beside it changes.
func TestEntries(t *testing.T) {
	for _, bits := range []uint{12, 16, 32} {
		g := geometry{bits: bits, clusters: 1000}
		r := rand.New(rand.NewPCG(1, uint64(bits)))
		raw := noise(int(bits), 8000)
		model := make([]uint32, 1002)
		for i := range model {
			model[i] = g.entryIn(raw, 0, uint32(i))
		}
		for range 5000 {
			n := 2 + r.Uint32N(1000)
			v := []uint32{entryFree, entryBad, entryMask, n}[r.IntN(4)]
			off, _ := g.entryPlace(n)
			g.patchEntry(n, raw[off:], v)
			model[n] = v
			for _, m := range []uint32{n - 1, n, min(n+1, 1001)} {
				if got := g.entryIn(raw, 0, m); got != model[m] {
					t.Fatalf("FAT%d: entry %d is %#x, not %#x", bits, m, got, model[m])
				}
			}
		}
	}
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{firstTime, lastTime, testNow, time.Date(2000, 2, 29, 12, 34, 57, 990e6, time.UTC)} {
		date, clock, tenths := writeTime(at)
		if got := readTime(date, clock, tenths); !got.Equal(at) {
			t.Errorf("%v became %v", at, got)
		}
	}
	for _, at := range []time.Time{time.Unix(0, 0), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)} {
		date, clock, _ := writeTime(at)
		if got := readTime(date, clock, 0); !got.Equal(firstTime) && !got.Equal(lastTime) {
			t.Errorf("%v became %v", at, got)
		}
	}
	readTime(0, 0xFFFF, 0xFF)
	readTime(0xFFFF, 0xFFFF, 0xFF)
}
