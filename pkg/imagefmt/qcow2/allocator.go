package qcow2

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// allocator gives out the clusters of a new image one after another, and counts
// them. A refcount block is written as soon as all of its clusters are given
// out, so that only a block or two are in memory.
type allocator struct {
	geometry
	order uint
	out   *stage
	next  int64       // the first cluster that is not in use
	first int64       // index of the first refcount block still open
	open  []refcounts // blocks from first on
	table []uint64    // offsets of the blocks before first
	pack  int64       // where the next compressed cluster may begin; 0 nowhere
}

func newAllocator(s settings, out *stage) *allocator {
	return &allocator{geometry: s.geometry, order: s.refcountOrder, out: out}
}

// take gives n clusters that follow each other, and returns where they begin.
func (a *allocator) take(n int64) (int64, error) {
	if err := a.settle(); err != nil {
		return 0, err
	}
	host := a.next << a.clusterBits
	for range n {
		a.count(a.next)
		a.next++
	}
	return host, nil
}

// takePacked gives n bytes, less than a cluster, for compressed data: after the
// last ones where that is possible.
func (a *allocator) takePacked(n int64) (int64, error) {
	size := a.clusterSize()
	if used := a.pack % size; used != 0 {
		c := a.pack >> a.clusterBits
		host := a.pack
		switch {
		case a.refcount(c) == maxRefcount(a.order):
		case n <= size-used:
			a.count(c)
			a.pack += n
			return host, nil
		case c+1 == a.next && !a.complete():
			a.count(c)
			a.count(a.next)
			a.next++
			a.pack += n
			return host, nil
		}
	}
	host, err := a.take(1)
	a.pack = host + n
	return host, err
}

// block is the open refcount block of a cluster, and its index in it.
func (a *allocator) block(cluster int64) (refcounts, int64) {
	n := a.blockEntries(a.order)
	i := cluster/n - a.first
	for int64(len(a.open)) <= i {
		a.open = append(a.open, refcounts{a.order, make([]byte, a.clusterSize())})
	}
	return a.open[i], cluster % n
}

func (a *allocator) count(cluster int64) {
	r, i := a.block(cluster)
	r.set(i, r.get(i)+1)
}

func (a *allocator) refcount(cluster int64) uint64 {
	r, i := a.block(cluster)
	return r.get(i)
}

// complete reports whether the first open block counts no free cluster any more.
func (a *allocator) complete() bool {
	return (a.first+1)*a.blockEntries(a.order) <= a.next
}

// settle writes the blocks that are complete, each to a cluster that a later
// block counts.
func (a *allocator) settle() error {
	for a.complete() {
		if a.pack>>a.clusterBits/a.blockEntries(a.order) == a.first {
			a.pack = 0
		}
		c := a.next
		a.next++
		a.count(c)
		if err := a.write(c); err != nil {
			return err
		}
	}
	return nil
}

// write puts the first open block to cluster c and closes it.
func (a *allocator) write(c int64) error {
	host := c << a.clusterBits
	a.table = append(a.table, uint64(host))
	b := a.open[0].block
	a.open = a.open[1:]
	a.first++
	return a.out.put(b, host)
}

// finish writes the open blocks and the table, which count themselves.
func (a *allocator) finish() (tableOffset, tableClusters int64, err error) {
	if err := a.settle(); err != nil {
		return 0, 0, err
	}
	entries := a.blockEntries(a.order)
	var blocks, clusters int64
	for {
		all := ondisk.DivUp(a.next+blocks+clusters, entries)
		b, c := all-a.first, ondisk.DivUp(all*8, a.clusterSize())
		if b == blocks && c == clusters {
			break
		}
		blocks, clusters = b, c
	}
	if clusters<<a.clusterBits > maxRefcountTableBytes {
		return 0, 0, ondisk.At(layer, "refcount table", ondisk.NoOffset).TooBig("the image needs a larger cluster_size")
	}
	begin := a.next
	for range blocks + clusters {
		a.count(a.next)
		a.next++
	}
	for i := range blocks {
		if err := a.write(begin + i); err != nil {
			return 0, 0, err
		}
	}
	table := make([]byte, clusters<<a.clusterBits)
	for i, off := range a.table {
		binary.BigEndian.PutUint64(table[i*8:], off)
	}
	tableOffset = (begin + blocks) << a.clusterBits
	return tableOffset, clusters, a.out.put(table, tableOffset)
}
