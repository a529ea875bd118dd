package ext

import (
	"cmp"
	"context"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// FreeExtents are the clusters that the block bitmaps call free, and the body
// of the journal when it is empty: a mount reads no more of that than its first
// block. All must agree first: checksums, what the descriptors and the
// superblock count, and that nothing free holds metadata.
func (v *volume) FreeExtents(ctx context.Context) ([]filesys.Range, error) {
	if err := v.freeIsKnown(); err != nil {
		return nil, err
	}
	zones, err := v.metadataZones()
	if err != nil {
		return nil, err
	}
	f := freeList{v: v, zones: zones, limit: int(v.limits.Table / 16)}
	for n := range v.groupCount {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.group(n); err != nil {
			return nil, err
		}
	}
	if want := v.super().freeBlocks(); f.blocks != want {
		return nil, ondisk.At(layer, "superblock", superOffset).Corrupt("%d free blocks, the bitmaps have %d", want, f.blocks)
	}
	if err := f.journal(); err != nil {
		return nil, err
	}
	return f.sorted(), nil
}

// freeIsKnown fails where bitmaps may be behind the truth.
func (v *volume) freeIsKnown() error {
	s := v.super()
	at := ondisk.At(layer, "superblock", superOffset)
	switch {
	case s.hasErrors() || s.State&stateClean == 0:
		return at.Unsupported("free space of a filesystem that was not unmounted cleanly (state %d)", s.State)
	case s.needsRecovery():
		return at.Unsupported("free space of a filesystem whose journal is not replayed")
	case v.hasROCompat(frSharedBlocks | frHasSnapshot):
		return at.Unsupported("free space of a filesystem with shared blocks")
	}
	return nil
}

// freeList gathers free ranges group by group.
type freeList struct {
	v      *volume
	zones  []zone // metadata, ascending
	limit  int
	out    []filesys.Range
	blocks uint64
}

// group adds the free clusters of group n. In an uninitialised group they are
// those without metadata.
func (f *freeList) group(n uint32) error {
	v := f.v
	g, err := v.group(n)
	if err != nil {
		return err
	}
	clusters := uint32((uint64(v.groupBlocks(n)) + 1<<v.clusterBits - 1) >> v.clusterBits)
	b := make(bitmap, v.blockSize)
	off := v.byteOff(g.blockBitmap())
	at := ondisk.At(layer, "block bitmap", off).In("group %d", n)
	if v.groupChecksums() && g.Flags&bgBlockUninit != 0 {
		f.uninitialised(n, b)
	} else {
		if err := ondisk.Full(v.dev, b, off); err != nil {
			return at.Wrap(err)
		}
		if v.checksums() {
			sum, want := bitmapSum(v.seed, b, v.clustersPerGroup), g.blockBitmapCsum()
			if v.descSize < descSize64 {
				sum &= 0xFFFF
			}
			if sum != want {
				return at.Corrupt("checksum %#08x, computed %#08x", want, sum)
			}
		}
	}
	if free := b.zeros(clusters); free != g.freeClusters() {
		return at.Corrupt("%d clusters are free, the descriptor says %d", free, g.freeClusters())
	}
	f.blocks += uint64(g.freeClusters()) << v.clusterBits
	return f.add(n, b, clusters, at)
}

// uninitialised marks the clusters of group n that hold metadata.
func (f *freeList) uninitialised(n uint32, b bitmap) {
	start := f.v.groupStart(n)
	end := start + uint64(f.v.groupBlocks(n))
	for i := f.zoneAfter(start); i < len(f.zones) && f.zones[i].start < end; i++ {
		z := f.zones[i]
		first := (max(z.start, start) - start) >> f.v.clusterBits
		last := (min(z.end(), end) - 1 - start) >> f.v.clusterBits
		for c := first; c <= last; c++ {
			b.set(uint32(c))
		}
	}
}

// zoneAfter is the first zone that ends behind block nr.
func (f *freeList) zoneAfter(nr uint64) int {
	i, _ := slices.BinarySearchFunc(f.zones, nr, func(z zone, nr uint64) int {
		if z.end() <= nr {
			return -1
		}
		return 1
	})
	return i
}

// add appends the clear bits of a bitmap as ranges.
func (f *freeList) add(n uint32, b bitmap, clusters uint32, at ondisk.Place) error {
	v := f.v
	for s := b.nextClear(0, clusters); s.n > 0; s = b.nextClear(s.at+s.n, clusters) {
		first := v.groupStart(n) + uint64(s.at)<<v.clusterBits
		last := min(first+uint64(s.n)<<v.clusterBits, v.blockCount)
		if i := f.zoneAfter(first); i < len(f.zones) && f.zones[i].start < last {
			return at.Corrupt("metadata at block %d is marked free", f.zones[i].start)
		}
		if err := f.append(first, last-first); err != nil {
			return err
		}
	}
	return nil
}

func (f *freeList) append(first, n uint64) error {
	r := filesys.Range{Off: f.v.byteOff(first), Len: int64(n) << f.v.blockBits}
	if k := len(f.out); k > 0 && f.out[k-1].Off+f.out[k-1].Len == r.Off {
		f.out[k-1].Len += r.Len
		return nil
	}
	if len(f.out) >= f.limit {
		return ondisk.At(layer, "block bitmap", ondisk.NoOffset).TooBig("more than %d free ranges", f.limit)
	}
	f.out = append(f.out, r)
	return nil
}

// journal adds the blocks of an empty journal behind the first.
func (f *freeList) journal() error {
	v := f.v
	if !v.hasCompat(fcHasJournal) || v.super().JournalInode == 0 {
		return nil
	}
	j, err := v.openJournal()
	if err != nil {
		return err
	}
	if j.super.Start != 0 || j.super.Errno != 0 || j.in.num != inoJournal {
		return nil
	}
	return j.blocks.visit(func(r run) error {
		if r.logical == 0 {
			r.phys, r.count = r.phys+1, r.count-1
		}
		if r.count == 0 {
			return nil
		}
		return f.append(r.phys, r.count)
	}, func(uint64) error { return nil })
}

// sorted brings the journal's blocks into order with the others. No range may
// meet another: the blocks of the journal are not free.
func (f *freeList) sorted() []filesys.Range {
	slices.SortFunc(f.out, func(a, b filesys.Range) int { return cmp.Compare(a.Off, b.Off) })
	out := f.out[:0]
	for _, r := range f.out {
		if k := len(out); k > 0 && r.Off <= out[k-1].Off+out[k-1].Len {
			out[k-1].Len = max(out[k-1].Len, r.Off+r.Len-out[k-1].Off)
			continue
		}
		out = append(out, r)
	}
	return out
}
