package qcow2

import (
	"context"
	"math"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	tallyEntry    = 4    // bytes of memory for each cluster
	maxTallyParts = 4096 // how often the L2 tables may be read
)

// tally counts the references to the clusters of one part of the file.
type tally struct {
	bits   uint
	first  int64    // cluster
	counts []uint32 // from first on
	used   []bool   // parts, as long as counts, that have references
}

// begin turns to the part that starts at cluster first.
func (t *tally) begin(first int64) {
	t.first = first
	clear(t.counts)
}

// add counts the clusters of n bytes from off, n > 0.
func (t *tally) add(off, n int64, times uint32) {
	from, to := off>>t.bits, (off+n-1)>>t.bits
	size := int64(len(t.counts))
	for p := from / size; p <= to/size && p < int64(len(t.used)); p++ {
		t.used[p] = true
	}
	for cl := max(from, t.first); cl <= min(to, t.first+size-1); cl++ {
		v := &t.counts[cl-t.first]
		*v += min(times, math.MaxUint32-*v)
	}
}

// compare holds the counts of this part against the stored ones.
func (c *checker) compare(ctx context.Context) error {
	entries := c.blockEntries(c.stored.order)
	end := c.tally.first + int64(len(c.tally.counts))
	for first := c.tally.first; first < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := min(end, ondisk.AlignDown(first, entries)+entries)
		block, err := c.stored.block(first / entries)
		if err != nil {
			return err
		}
		counts := c.tally.counts[first-c.tally.first : next-c.tally.first]
		for i, want := range counts {
			var have uint64
			if block.block != nil {
				have = block.get(first%entries + int64(i))
			}
			if have != 0 || want != 0 {
				c.judge(first+int64(i), have, uint64(want))
			}
		}
		first = next
	}
	return nil
}

// judge is about a cluster that is in use or is said to be.
func (c *checker) judge(cluster int64, have, want uint64) {
	off := cluster << c.clusterBits
	if off >= c.src.Size() && want == 0 {
		return // a count for what is not there yet
	}
	c.result.End = off + c.clusterSize()
	at := ondisk.At(layer, "cluster", off)
	switch {
	case have == want:
	case have > want && c.result.Leaked >= imagefmt.MaxFindings:
		c.result.Leaked++
	case have > want:
		c.result.AddLeak(at.Corrupt("counted %d times, used %d times", have, want))
	case c.result.Corrupt >= imagefmt.MaxFindings:
		c.result.Corrupt++
	default:
		c.result.AddCorrupt(at.Corrupt("counted %d times, used %d times", have, want))
	}
}

// storedCounts are the reference counts that an image stores, for reading.
type storedCounts struct {
	geometry
	order uint
	file  imagefmt.Source
	off   int64
	table []int64 // offset of each refcount block; 0 where there is none
	cache *ondisk.BlockCache[int64]

	last      refcounts // block that was asked for last
	lastIndex int64
}

// block is refcount block i; without bytes when there is none.
func (s *storedCounts) block(i int64) (refcounts, error) {
	if i >= int64(len(s.table)) || s.table[i] == 0 {
		return refcounts{}, nil
	}
	if s.last.block != nil && s.lastIndex == i {
		return s.last, nil
	}
	off := s.table[i]
	data := s.cache.Get(off)
	if data == nil {
		data = make([]byte, s.clusterSize())
		if err := ondisk.Full(s.file, data, off); err != nil {
			return refcounts{}, ondisk.At(layer, "refcount block", off).Wrap(err)
		}
		data = s.cache.Put(off, data)
	}
	s.last, s.lastIndex = refcounts{s.order, data}, i
	return s.last, nil
}

// of is the count of a cluster.
func (s *storedCounts) of(cluster int64) (uint64, error) {
	entries := s.blockEntries(s.order)
	b, err := s.block(cluster / entries)
	if err != nil || b.block == nil {
		return 0, err
	}
	return b.get(cluster % entries), nil
}

// any reports whether there are refcount blocks for some of n clusters from first.
func (s *storedCounts) any(first, n int64) bool {
	entries := s.blockEntries(s.order)
	for i := first / entries; i <= (first+n-1)/entries && i < int64(len(s.table)); i++ {
		if s.table[i] != 0 {
			return true
		}
	}
	return false
}
