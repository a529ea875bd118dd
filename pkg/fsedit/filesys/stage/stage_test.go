package stage

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// TestStage puts random changes on a stage and on plain bytes; those of an
// operation that fails must not be seen.
func TestStage(t *testing.T) {
	const bits, blocks = 6, 32
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, blocks<<bits-10)
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	s := New(blockdev.FromBytes(bytes.Clone(want)), bits, nil)
	names, wantNames := map[int]int{}, map[int]int{}
	refused := errors.New("refused")
	for range 2000 {
		after, afterNames := bytes.Clone(want), maps.Clone(wantNames)
		fails := rng.IntN(3) == 0
		err := s.Do(func() error {
			for range 1 + rng.IntN(4) {
				change(t, s, rng, after)
				k := rng.IntN(5)
				if rng.IntN(2) == 0 {
					Set(s, names, k, len(after))
					afterNames[k] = len(after)
				} else {
					Delete(s, names, k)
					delete(afterNames, k)
				}
			}
			if fails {
				return refused
			}
			return nil
		})
		if (err != nil) != fails {
			t.Fatal(err)
		}
		if !fails {
			want, wantNames = after, afterNames
		}
		at, n := rng.IntN(len(want)), rng.IntN(200)
		got := make([]byte, min(n, len(want)-at))
		if _, err := s.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, want[at:at+len(got)]) {
			t.Fatalf("%d bytes at %d: %v", n, at, err)
		}
		if !maps.Equal(names, wantNames) {
			t.Fatal(names, wantNames)
		}
	}
}

// change makes one change of both. The last block is not whole, and left alone.
func change(t *testing.T, s *Stage, rng *rand.Rand, want []byte) {
	whole := len(want) >> s.bits << s.bits
	p := make([]byte, 1+rng.IntN(100))
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	if rng.IntN(2) == 0 {
		at := rng.IntN(whole - len(p))
		if err := s.Patch(int64(at), p); err != nil {
			t.Fatal(err)
		}
		copy(want[at:], p)
		return
	}
	nr := rng.IntN(whole >> s.bits)
	raw := bytes.Repeat(p[:1], 1<<s.bits)
	s.Put(uint64(nr), raw)
	copy(want[nr<<s.bits:], raw)
}
