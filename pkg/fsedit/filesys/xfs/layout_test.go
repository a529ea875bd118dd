package xfs

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestStructureSizes(t *testing.T) {
	for _, x := range []struct {
		name string
		v    any
		want int
	}{
		{"superblock", superblock{}, superSize},
		{"AGF", agf{}, 224},
		{"AGI", agi{}, 344},
		{"inode core", inodeCore{}, inodeCore3},
	} {
		if got := binary.Size(x.v); got != x.want {
			t.Errorf("%s: %d bytes, want %d", x.name, got, x.want)
		}
	}
}

// TestHandDecoder compares the decoder of inodes with encoding/binary.
func TestHandDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := make([]byte, inodeCore3)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		p[4] = 3
		want, err := decode[inodeCore](p)
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeInode(p); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

func TestExtent(t *testing.T) {
	p := make([]byte, bmbtRecSize)
	be.PutUint64(p, 1<<63|0x123456789ABC<<9|0x1FF)
	be.PutUint64(p[8:], 0x7FFFFFFFFFF<<21|5)
	want := run{logical: 0x123456789ABC, phys: 1<<52 - 1, count: 5, kind: runUnwritten}
	if got := decodeExtent(p); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
