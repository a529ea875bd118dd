package ext

import (
	"context"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// holdings is all that a file's map names: its runs and the blocks of the map.
type holdings struct {
	runs []run
	tree []uint64
}

// blocks is the sum of both.
func (h *holdings) blocks() (n uint64) {
	for _, r := range h.runs {
		n += r.count
	}
	return n + uint64(len(h.tree))
}

// holdings reads the whole map of a file.
func (v *volume) holdings(in *inode) (*holdings, error) {
	h := &holdings{}
	if !v.hasMap(in) {
		return h, nil
	}
	err := v.mapOf(in).visit(
		func(r run) error {
			h.runs = append(h.runs, r)
			if len(h.runs) > v.limits.Entries {
				return in.at().TooBig("more than %d pieces", v.limits.Entries)
			}
			return nil
		},
		func(nr uint64) error {
			h.tree = append(h.tree, nr)
			return nil
		})
	return h, err
}

// free gives back everything a file holds.
func (e *editor) free(h *holdings) error {
	for _, r := range h.runs {
		if err := e.freeBlocks(zone{r.phys, r.count}); err != nil {
			return err
		}
	}
	for _, nr := range h.tree {
		if err := e.freeBlocks(zone{nr, 1}); err != nil {
			return err
		}
	}
	return nil
}

// setMap gives a file the runs rs. Blocks of pool serve the map first, and
// what it does not need of them is freed. i_blocks is the caller's to set.
func (e *editor) setMap(in *inode, rs []run, pool []uint64) (tree int, err error) {
	v := e.v
	rs = coalesce(rs)
	if !v.hasIncompat(fiExtents) {
		return e.setIndirect(in, rs, pool)
	}
	places, err := e.treePlaces(in, extentTreeBlocks(len(rs), int(v.blockSize)), pool)
	if err != nil {
		return 0, err
	}
	root, nodes := buildExtents(rs, int(v.blockSize), places)
	in.setFlags(flExtents, 0)
	in.setBlock(root[:])
	for _, n := range nodes {
		if v.checksums() {
			le.PutUint32(n.data[extentTail(n.data):], extentBlockSum(in.iseed(v), n.data))
		}
		e.stage.Put(n.at, n.data)
	}
	return len(nodes), nil
}

func (e *editor) setIndirect(in *inode, rs []run, pool []uint64) (int, error) {
	v := e.v
	if n := len(rs); n > 0 {
		if rs[n-1].end() > indirectLimit(int(v.blockSize)) {
			return 0, in.at().Unsupported("the file is too large for a block map")
		}
	}
	for _, r := range rs {
		if r.phys+r.count > 1<<32 {
			return 0, in.at().Unsupported("a block map does not reach block %d", r.phys)
		}
	}
	places, err := e.treePlaces(in, indirectTreeBlocks(rs, int(v.blockSize)), pool)
	if err != nil {
		return 0, err
	}
	in.setFlags(0, flExtents)
	next := 0
	root, nodes := buildIndirect(rs, int(v.blockSize), func() uint64 { next++; return places[next-1] })
	in.setBlock(root[:])
	for _, n := range nodes {
		e.stage.Put(n.at, n.data)
	}
	return len(nodes), nil
}

// treePlaces finds n blocks for the nodes of a map: those of pool, then new
// ones. What is left of pool is freed.
func (e *editor) treePlaces(in *inode, n int, pool []uint64) ([]uint64, error) {
	places := slices.Clone(pool[:min(n, len(pool))])
	for _, nr := range pool[len(places):] {
		if err := e.freeBlocks(zone{nr, 1}); err != nil {
			return nil, err
		}
	}
	if len(places) == n {
		return places, nil
	}
	zones, err := e.allocBlocks(e.goal(in), uint64(n-len(places)))
	if err != nil {
		return nil, err
	}
	for _, z := range zones {
		for i := range z.n {
			places = append(places, z.start+i)
		}
	}
	return places, nil
}

// goal is where the blocks of an inode should lie: in its group.
func (e *editor) goal(in *inode) uint64 {
	return e.v.groupStart((in.num - 1) / e.v.inodesPerGroup)
}

// layOut allocates blocks for the ranges of file blocks that hold data.
func (e *editor) layOut(in *inode, ranges []span64) ([]run, error) {
	var need uint64
	for _, s := range ranges {
		need += s.n
	}
	zones, err := e.allocBlocks(e.goal(in), need)
	if err != nil {
		return nil, err
	}
	var out []run
	for _, s := range ranges {
		for s.n > 0 {
			n := min(s.n, zones[0].n)
			out = append(out, run{logical: s.at, phys: zones[0].start, count: n})
			s.at, s.n = s.at+n, s.n-n
			if zones[0].start, zones[0].n = zones[0].start+n, zones[0].n-n; zones[0].n == 0 {
				zones = zones[1:]
			}
		}
	}
	return out, nil
}

// span64 is a range of file blocks.
type span64 struct{ at, n uint64 }

// dataBlocks are the file blocks that content fills: all but those that lie
// wholly in its holes.
func dataBlocks(content blockdev.Device, bits uint) ([]span64, error) {
	var out []span64
	size := content.Size()
	for x, err := range blockdev.Extents(context.Background(), content, 0, size) {
		if err != nil {
			return nil, err
		}
		if x.Kind == blockdev.Zero {
			continue
		}
		first, end := uint64(x.Off)>>bits, (uint64(x.End())+1<<bits-1)>>bits
		if n := len(out); n > 0 && first <= out[n-1].at+out[n-1].n {
			out[n-1].n = max(end, out[n-1].at+out[n-1].n) - out[n-1].at
			continue
		}
		out = append(out, span64{first, end - first})
	}
	return out, nil
}
