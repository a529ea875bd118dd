package ext

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestDirHash compares with debugfs, for names of all lengths.
func TestDirHash(t *testing.T) {
	line := regexp.MustCompile(`is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)`)
	seed := [4]uint32{0x44332211, 0x88776655, 0xccbbaa99, 0x00ffeedd}
	for version, name := range []string{"legacy", "half_md4", "tea"} {
		for n := 1; n < 256; n += 1 + n/8 {
			word := strings.Repeat("abc-XYZ_0.", 26)[:n]
			out := testtool.Run(t, "debugfs", "-R", "dx_hash -h "+name+" -s 11223344-5566-7788-99aa-bbccddeeff00 "+word)
			m := line.FindStringSubmatch(out)
			if m == nil {
				t.Fatal(out)
			}
			h, _ := newDirHash(uint8(version), false, seed)
			major, minor := h.of(word)
			if fmt.Sprintf("%x %x", major, minor) != m[1]+" "+m[2] {
				t.Errorf("%s of %d bytes: %x %x, debugfs says %s %s", name, n, major, minor, m[1], m[2])
			}
		}
	}
}

// TestCollisions proves that the names that TestLargeDirectory uses collide.
func TestCollisions(t *testing.T) {
	h, _ := newDirHash(hashLegacy, false, [4]uint32{})
	want, _ := h.of(strings.Repeat("x", 250) + "abZ60")
	for _, s := range []string{"ff4U1", "Su4T2", "XKHH2"} {
		if got, _ := h.of(strings.Repeat("x", 250) + s); got != want {
			t.Errorf("%s: %x, want %x", s, got, want)
		}
	}
}

// randomRuns are runs with gaps, as many as n.
func randomRuns(r *rand.Rand, n int) (rs []run) {
	logical, phys := uint64(0), uint64(100)
	for range n {
		logical += r.Uint64N(3)
		phys += 1 + r.Uint64N(5)
		count := 1 + r.Uint64N(70)
		rs = append(rs, run{logical: logical, phys: phys, count: count})
		logical, phys = logical+count, phys+count
	}
	return rs
}

// TestMaps decodes what the builders built, by hand.
func TestMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 4, 5, 84, 340, 341, 2000, 9000} {
		want := randomRuns(r, n)
		for _, bs := range []int{1024, 4096} {
			places := make([]uint64, extentTreeBlocks(len(want), bs))
			for i := range places {
				places[i] = 5_000_000_000 + uint64(i)
			}
			root, nodes := buildExtents(want, bs, places)
			if len(nodes) != len(places) {
				t.Fatalf("%d extents: %d nodes, counted %d", n, len(nodes), len(places))
			}
			at := map[uint64][]byte{}
			for _, x := range nodes {
				at[x.at] = x.data
			}
			if got := leavesBelow(root[:], at); !slices.Equal(got, want) {
				t.Errorf("%d extents in blocks of %d: %d came back", n, bs, len(got))
			}
		}
	}
}

func leavesBelow(p []byte, at map[uint64][]byte) (out []run) {
	h := decodeExtentHeader(p)
	for i := range int(h.Entries) {
		e := p[extentHeaderSize+i*extentEntrySize:]
		if h.Depth == 0 {
			out = append(out, decodeExtentLeaf(e).run())
			continue
		}
		out = append(out, leavesBelow(at[decodeExtentIndex(e).leaf()], at)...)
	}
	return out
}

// TestLinks holds the limits of names and of subdirectories.
func TestLinks(t *testing.T) {
	for _, x := range []struct {
		dirNlink    bool
		mode        uint16
		flags       uint32
		links, want uint16
	}{
		{true, 0o100644, 0, 64999, 65000}, {true, 0o100644, 0, 65000, 0},
		{false, 0o100644, 0, 31999, 32000}, {false, 0o100644, 0, 32000, 0},
		{true, 0o040755, flIndex, 64998, 64999}, {true, 0o040755, flIndex, 64999, 1}, {true, 0o040755, flIndex, 1, 1},
		{true, 0o040755, 0, 64999, 65000}, {true, 0o040755, 0, 65000, 0},
		{false, 0o040755, flIndex, 31999, 32000}, {false, 0o040755, flIndex, 32000, 0},
	} {
		e := &editor{v: &volume{}}
		if x.dirNlink {
			e.v.features.roCompat = frDirNlink
		}
		in := &inode{raw: make([]byte, oldInodeSize)}
		in.put16(inMode, x.mode)
		in.put32(inFlags, x.flags)
		in.setLinks(x.links)
		err := e.addLink(in)
		if (err != nil) != (x.want == 0) || err == nil && in.Links != x.want {
			t.Errorf("%+v: %d, %v", x, in.Links, err)
		}
	}
}

// TestBitmap compares the searches with ones bit by bit.
func TestBitmap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		b := make(bitmap, 1+r.IntN(40))
		for i := range b {
			b[i] = []byte{0, 0xFF, byte(r.Uint32())}[r.IntN(3)]
		}
		limit := 1 + r.Uint32N(uint32(len(b))*8)
		from, want := r.Uint32N(limit), 1+r.Uint32N(20)
		zeros, best, length := uint32(0), span{}, uint32(0)
		for i := range limit {
			if !b.has(i) {
				zeros++
			}
			if i < from || b.has(i) {
				length = 0
				continue
			}
			if length++; length > best.n && best.n < want {
				best = span{i - length + 1, length}
			}
		}
		if got := b.findRun(from, limit, want); got != best {
			t.Fatalf("%x from %d to %d, %d wanted: %v, want %v", b, from, limit, want, got, best)
		}
		if got := b.zeros(limit); got != zeros {
			t.Fatalf("%x: %d zeros below %d, want %d", b, got, limit, zeros)
		}
	}
}
