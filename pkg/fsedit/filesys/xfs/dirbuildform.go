package xfs

import "slices"

// buildDir stages a directory anew; in blocks, when it shall not be in its inode.
func (e *editor) buildDir(d *directory, inBlocks bool) error {
	if err := e.dropHeld(d); err != nil {
		return err
	}
	in, err := e.private(d.num)
	if err != nil {
		return err
	}
	old, err := e.v.holding(e.v.dataFork(in))
	if err != nil {
		return err
	}
	if e.v.shortSize(d) <= len(e.v.dataFork(in).raw) && !inBlocks {
		err = e.putShort(d, in, old)
	} else {
		err = e.putDir(d, in, old)
	}
	if err != nil {
		return err
	}
	assign(e.stage, &d.dirty, false)
	return e.putInode(in)
}

// putShort puts a directory into its inode.
func (e *editor) putShort(d *directory, in *inode, old *holding) error {
	if err := e.releaseRuns(in, false, old.runs); err != nil {
		return err
	}
	p := e.v.buildShort(d)
	in.setSize(int64(len(p)))
	assign(e.stage, &d.has, dirNeed{})
	return e.setLocal(in, false, old, p)
}

// putDir puts a directory into blocks. Those that it has are used again.
func (e *editor) putDir(d *directory, in *inode, old *holding) error {
	v := e.v
	b := v.buildData(d)
	var index, free [][]byte
	if b.fitsBlock() {
		b.oneBlock()
	} else {
		b.manyBlocks()
		if leaf := b.leaf1(); leaf != nil {
			index = [][]byte{leaf}
		} else {
			index, free = b.tree(), b.freeBlocks()
		}
	}
	parts := []struct {
		start, end uint64
		blocks     [][]byte
		stamp      stamp
	}{
		{0, v.dirIndexStart(), b.data, dirStamp},
		{v.dirIndexStart(), v.dirFreeStart(), index, daStamp},
		{v.dirFreeStart(), maxLogical, free, dirStamp},
	}
	var all []run
	for _, p := range parts {
		have := slices.DeleteFunc(slices.Clone(old.runs), func(r run) bool { return r.logical < p.start || r.logical >= p.end })
		runs, err := e.refit(in, false, have, p.start, uint64(len(p.blocks))<<v.dirBits)
		if err != nil {
			return err
		}
		for i, raw := range p.blocks {
			if err := e.putRun(in, runs, p.start+uint64(i)<<v.dirBits, raw, p.stamp); err != nil {
				return err
			}
		}
		all = append(all, runs...)
	}
	in.setSize(int64(len(b.data)) * int64(v.dirBlockSize()))
	if err := e.setMap(in, false, old, all); err != nil {
		return err
	}
	now, err := v.holding(v.dataFork(in))
	if err == nil {
		assign(e.stage, &d.has, v.dirHas(now))
	}
	return err
}
