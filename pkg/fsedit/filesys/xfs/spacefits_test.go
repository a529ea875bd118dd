package xfs

import (
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// randomGroup is an AG with hardly any room: its blocks are free, given back, in its
// trees, in its list, or somebody's, at random.
func randomGroup(r *rand.Rand, geo *geometry, size uint32) *group {
	g := &group{size: size, trees: map[*treeKind]*treePlan{}}
	n := func(limit int) int { return r.IntN(1 + r.IntN(limit)) }
	full := []filling{fillRoomy, fillTight}[r.IntN(2)]
	g.chunks = make([]chunk, n(2000))
	for i := range g.chunks {
		g.chunks[i] = chunk{start: uint32(i) * chunkInodes, free: uint64(r.IntN(2))}
	}
	g.rmaps, g.shared = make(rmaps, n(5000)), make(refcounts, n(2000))
	for k, records := range map[*treeKind]int{
		bnobt: n(3000), cntbt: n(3000), rmapbt: len(g.rmaps) + n(50),
		inobt: max(1, len(g.chunks)-n(3)), finobt: n(2000), refcountbt: len(g.shared) + n(5),
	} {
		g.trees[k] = &treePlan{kind: k, shape: k.shape(geo, records, full)}
	}
	nrs := r.Perm(int(size))
	takeSome := func(count int) []uint32 {
		out := make([]uint32, min(count, len(nrs)))
		for i := range out {
			out[i] = uint32(nrs[i])
		}
		nrs = nrs[len(out):]
		return out
	}
	for _, k := range []*treeKind{bnobt, cntbt, rmapbt, inobt, finobt, refcountbt} {
		g.trees[k].place(takeSome(g.trees[k].shape.blocks()))
	}
	g.agfl = takeSome(n(12))
	g.avail, _ = setOf(blockRuns(takeSome(n(200))))
	g.freed, _ = setOf(blockRuns(takeSome(n(4000))))
	g.left = g.avail.blocks()
	g.spaceChanged, g.inodesChanged, g.sharedChanged = true, r.IntN(2) == 0, r.IntN(2) == 0
	return g
}

// TestFits: when it is said that the trees of a group can be built, they can.
func TestFits(t *testing.T) {
	t.Parallel()
	v, err := newVolume(blockdev.FromBytes(loadSeed(t, "v5.img.gz").raw), fuzzLimits)
	if err != nil {
		t.Fatal(err)
	}
	s := &space{v: v}
	r := rand.New(rand.NewPCG(1, 1))
	fits, tight := 0, 0
	for i := range 300 {
		g := randomGroup(r, &v.geometry, 20000)
		if s.fits(g) != nil {
			continue
		}
		fits++
		l, err := s.layOut(g)
		if err != nil {
			t.Fatalf("%d: %d free blocks, %d in the list: %v", i, g.left, len(g.agfl), err)
		}
		if l.dropList || g.left < 10 {
			tight++
		}
		checkLayout(t, g, l)
	}
	if fits < 60 || tight < 10 {
		t.Errorf("%d groups fit, %d of them hardly", fits, tight)
	}
}

// checkLayout: no block has two uses, and none is lost.
func checkLayout(t *testing.T, g *group, l *agLayout) {
	t.Helper()
	before, after := append(blockRuns(g.agfl), g.avail...), blockRuns(l.refill)
	if !l.dropList {
		after = append(after, blockRuns(g.agfl)...)
	}
	before, after = append(before, g.freed...), append(after, l.free...)
	for k, old := range g.trees {
		before = append(before, blockRuns(old.blocks())...)
		after = append(after, blockRuns(l.tree(g, k).blocks())...)
	}
	a, ok := setOf(before)
	b, ok2 := setOf(after)
	if !ok || !ok2 || len(a.minus(b)) > 0 || len(b.minus(a)) > 0 {
		t.Errorf("blocks are lost, or used twice: %v %v", ok, ok2)
	}
}
