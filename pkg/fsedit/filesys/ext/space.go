package ext

import "github.com/vmconv/vmconv/pkg/fsedit/filesys"

// Space is what df(1) shows of a mount without the option minixdf. The kernel takes
// the counters of the groups: those of the superblock are behind in a filesystem
// that was not unmounted. They stand in where a descriptor cannot be read.
func (v *volume) Space() filesys.Space {
	s := v.super()
	c, err := v.counts()
	if err != nil {
		c = counters{freeBlocks: s.freeBlocks(), freeInodes: uint64(s.FreeInodes)}
	}
	free := min(c.freeBlocks, v.blockCount)
	reserved := min(s.reservedBlocks(), v.blockCount) + v.reservedForMapping()
	return filesys.Space{
		BlockSize:   v.blockSize,
		Blocks:      int64(v.blockCount - min(c.overhead, v.blockCount)),
		FreeBlocks:  int64(free),
		AvailBlocks: int64(free - min(reserved, free)),
		Inodes:      int64(v.inodeCount),
		FreeInodes:  int64(min(c.freeInodes, uint64(v.inodeCount))),
	}
}

// counters are sums over all groups, in blocks.
type counters struct{ freeBlocks, freeInodes, overhead uint64 }

func (v *volume) counts() (counters, error) {
	var c counters
	for n := range v.groupCount {
		g, err := v.group(n)
		if err != nil {
			return c, err
		}
		c.freeBlocks += uint64(g.freeClusters()) << v.clusterBits
		c.freeInodes += uint64(g.freeInodes())
		c.overhead += v.headBlocks(n) + v.inodeTableBlocks() + 2
	}
	journal, err := v.journalBlocks()
	c.overhead += v.firstData + journal
	if told := uint64(v.super().OverheadClusters) << v.clusterBits; v.clusterBits > 0 && told != 0 && told <= v.blockCount {
		c.overhead = told // the kernel does not count clusters, which takes long
	}
	return c, err
}

// journalBlocks is the length of a journal inside the filesystem.
func (v *volume) journalBlocks() (uint64, error) {
	if !v.hasCompat(fcHasJournal) || v.super().JournalInode == 0 {
		return 0, nil
	}
	in, err := v.journalInode()
	if err != nil {
		return 0, err
	}
	return uint64(in.size(v)) >> v.blockBits, nil
}

// reservedForMapping is what the kernel keeps so that delayed writes find room for
// their extents: 2 %, and at most 4096 clusters.
func (v *volume) reservedForMapping() uint64 {
	if !v.hasIncompat(fiExtents) {
		return 0
	}
	return min(v.blockCount>>v.clusterBits/50, 4096) << v.clusterBits
}
