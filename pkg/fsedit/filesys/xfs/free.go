package xfs

import (
	"context"
	"slices"
	"sort"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// FreeExtents are the extents of the free space B-trees. All must agree first:
// checksums, the two trees of an AG, its header, the superblock, and that
// nothing free holds metadata with a fixed place. The blocks that an AG keeps for
// its B-trees are not free.
func (v *volume) FreeExtents(ctx context.Context) ([]filesys.Range, error) {
	at := ondisk.At(layer, "superblock", 0)
	switch {
	case v.unsure != "":
		return nil, at.Unsupported("free space cannot be told: %s", v.unsure)
	case v.has(incompat, fiNeedsRepair):
		return nil, at.Unsupported("free space of a filesystem that needs xfs_repair")
	}
	f := freeList{v: v, limit: int(v.limits.Table / 16)}
	for ag := range v.agCount {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.group(ag); err != nil {
			return nil, err
		}
	}
	if want := v.latest.Load().FDBlocks; f.blocks != want {
		return nil, at.Corrupt("%d free blocks, the groups have %d", want, f.blocks)
	}
	return f.out, nil
}

// freeList gathers free ranges group by group.
type freeList struct {
	v      *volume
	limit  int
	out    []filesys.Range
	blocks uint64 // as the superblock counts them
}

// group adds the free extents of one AG.
func (f *freeList) group(ag uint32) error {
	v := f.v
	h, at, err := v.agf(ag)
	if err != nil {
		return err
	}
	used, err := f.usedBlocks(ag, h)
	if err != nil {
		return err
	}
	first, end, total, longest := len(f.out), uint32(0), uint64(0), uint32(0)
	size := v.agSize(ag)
	byStart := agTree{v: v, ag: ag, kind: bnobt, left: size}
	byStart.visit = func(record []byte, at ondisk.Place) error {
		start, count := be.Uint32(record), be.Uint32(record[4:])
		if count == 0 || start < end || start >= size || count > size-start {
			return at.Corrupt("blocks %d+%d are out of order", start, count)
		}
		end = start + count
		if i := sort.Search(len(used), func(i int) bool { return used[i] >= start }); i < len(used) && used[i] < end {
			return at.Corrupt("block %d is in use", used[i])
		}
		total, longest = total+uint64(count), max(longest, count)
		if log := v.super.LogStart; v.fsblock(ag, start) < log+uint64(v.super.LogBlocks) && log < v.fsblock(ag, end) {
			return at.Corrupt("blocks %d+%d are in the log", start, count)
		}
		return f.append(v.fsblock(ag, start), count, at)
	}
	if err := f.tree(byStart, h.Roots[0], h.Levels[0], at); err != nil {
		return err
	}
	records := len(f.out) - first
	if err := f.bySize(ag, h, records, total); err != nil {
		return err
	}
	if total != uint64(h.FreeBlks) || longest != h.Longest {
		return at.Corrupt("%d free blocks, %d together; the tree has %d and %d", h.FreeBlks, h.Longest, total, longest)
	}
	f.blocks += total + uint64(h.FLCount) + uint64(h.BtreeBlks)
	return nil
}

func (f *freeList) tree(t agTree, root, levels uint32, at ondisk.Place) error {
	if levels == 0 || levels > btreeMaxLevels {
		return at.Corrupt("a tree of %d levels", levels)
	}
	return t.walk(root, int(levels)-1)
}

// bySize checks that the second tree has as many extents and blocks.
func (f *freeList) bySize(ag uint32, h agf, records int, total uint64) error {
	var last uint64
	n, sum, size := 0, uint64(0), f.v.agSize(ag)
	t := agTree{v: f.v, ag: ag, kind: cntbt, left: size}
	t.visit = func(record []byte, at ondisk.Place) error {
		start, count := be.Uint32(record), be.Uint32(record[4:])
		key := uint64(count)<<32 | uint64(start)
		if key <= last {
			return at.Corrupt("blocks %d+%d are out of order", start, count)
		}
		last, n, sum = key, n+1, sum+uint64(count)
		return nil
	}
	_, at, err := f.v.agHeader(ag, agfSector, "AGF")
	if err != nil {
		return err
	}
	if err := f.tree(t, h.Roots[1], h.Levels[1], at); err != nil {
		return err
	}
	if n != records || sum != total {
		return at.Corrupt("%d free extents of %d blocks by size, %d of %d by block", n, sum, records, total)
	}
	return nil
}

// usedBlocks are blocks of an AG that are known to be in use: its headers, the
// roots of its trees, and what it keeps for them.
func (f *freeList) usedBlocks(ag uint32, h agf) ([]uint32, error) {
	v := f.v
	used, err := v.agfl(ag, h)
	if err != nil {
		return nil, err
	}
	i, _, err := v.agi(ag)
	if err != nil {
		return nil, err
	}
	for n := range uint32(ondisk.DivUp(4*v.sectorSize, v.blockSize)) {
		used = append(used, n)
	}
	used = append(used, h.Roots[0], h.Roots[1], i.Root)
	if v.has(roCompat, frRmapbt) {
		used = append(used, h.Roots[2])
	}
	if v.has(roCompat, frReflink) {
		used = append(used, h.RefcountRoot)
	}
	if v.has(roCompat, frFinobt) {
		used = append(used, i.FreeRoot)
	}
	slices.Sort(used)
	return used, nil
}

func (f *freeList) append(fsb uint64, n uint32, at ondisk.Place) error {
	if len(f.out) >= f.limit {
		return at.TooBig("more than %d free ranges", f.limit)
	}
	f.out = append(f.out, filesys.Range{Off: f.v.byteOff(fsb), Len: int64(n) << f.v.blockBits})
	return nil
}
