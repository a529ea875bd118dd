package xfs

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// What was touched is read back through the stage, with the reader's checks, before
// any of it is written. That costs little and finds the mistakes that would cost a
// guest its files: a block with two owners, a count that is off, a name that its
// index does not lead to.

// check verifies the touched inodes and directories.
func (e *editor) check(ctx context.Context) error {
	var owned []run
	for _, num := range slices.Sorted(maps.Keys(e.touched)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.inodeUsed(num) {
			continue
		}
		runs, err := e.checkInode(num)
		if err != nil {
			return err
		}
		owned = append(owned, runs...)
	}
	slices.SortFunc(owned, func(a, b run) int { return cmp.Compare(a.phys, b.phys) })
	for i := range owned {
		if i > 0 && owned[i].phys < owned[i-1].phys+owned[i-1].count {
			return ondisk.At(layer, "block", e.v.byteOff(owned[i].phys)).Corrupt("two owners")
		}
	}
	return nil
}

// inodeUsed reports whether an inode that was touched is still in use.
func (e *editor) inodeUsed(num uint64) bool {
	ag, agino := e.v.agino(num)
	g := e.space.groups[ag]
	if g == nil {
		return true
	}
	i, found := slices.BinarySearchFunc(g.chunks, agino, func(c chunk, n uint32) int { return cmp.Compare(c.start, n) })
	if !found {
		i--
	}
	if i < 0 || agino-g.chunks[i].start >= chunkInodes {
		return false
	}
	return g.chunks[i].free>>(agino-g.chunks[i].start)&1 == 0
}

// checkInode verifies one inode and returns the blocks that are its alone.
func (e *editor) checkInode(num uint64) ([]run, error) {
	v := e.v
	in, err := v.inode(num)
	if err != nil {
		return nil, err
	}
	if in.links() == 0 {
		return nil, in.at().Corrupt("in use without a name")
	}
	if _, err := e.Xattrs(filesys.Node(num)); err != nil {
		return nil, err
	}
	forks := []fork{v.dataFork(in)}
	if f, ok := v.attrFork(in); ok {
		forks = append(forks, f)
	}
	var all []run
	total := uint64(0)
	for _, f := range forks {
		h, err := v.holding(f)
		if err != nil {
			return nil, err
		}
		total += h.blocks()
		for _, nr := range h.tree {
			all = append(all, run{phys: nr, count: 1})
		}
		all = append(all, h.runs...)
	}
	if in.NBlocks != total {
		return nil, in.at().In("blocks").Corrupt("%d, the file has %d", in.NBlocks, total)
	}
	for _, r := range all {
		if err := e.checkUsed(in, r); err != nil {
			return nil, err
		}
	}
	if in.mode().IsDir() {
		err = e.checkDir(in)
	} else if in.mode().IsSymlink() {
		_, err = e.Readlink(filesys.Node(num))
	}
	if in.has2(di2Reflink) {
		all = nil // others may have them too
	}
	return all, err
}

// checkUsed demands that blocks are neither free nor the filesystem's own.
func (e *editor) checkUsed(in *inode, r run) error {
	ag, agbno := e.v.split(r.phys)
	g := e.space.groups[uint32(ag)]
	if g == nil {
		return nil
	}
	if x := (extent{agbno, uint32(r.count)}); g.avail.meets(x) || g.freed.meets(x) || g.fixed.meets(x) {
		return in.at().Corrupt("blocks %#x+%d are free, or hold metadata", r.phys, r.count)
	}
	return nil
}

// checkDir reads all of a directory, and compares its index with its entries.
func (e *editor) checkDir(in *inode) error {
	v := e.v
	subs, count := uint32(0), 0
	if err := v.eachDirent(in, func(d dirent) bool {
		count++
		if d.kind == 2 && !d.isDot() {
			subs++
		}
		return true
	}); err != nil {
		return err
	}
	if v.fileTypes() && in.links() != subs+2 {
		return in.at().In("links").Corrupt("%d, with %d directories", in.links(), subs)
	}
	if in.Format == formatLocal {
		return nil
	}
	return e.checkIndex(in, count)
}

// checkIndex reads the index of a directory of count entries. Each must lead to an
// entry with its hash, and no two to one.
func (e *editor) checkIndex(in *inode, count int) error {
	v := e.v
	m, err := v.mapOf(v.dataFork(in))
	if err != nil {
		return err
	}
	l := &dirLookup{v: v, in: in, m: m}
	list, err := l.wholeIndex()
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b indexEntry) int { return cmp.Compare(a.addr, b.addr) })
	for i, x := range list {
		d, err := l.entry(uint64(x.addr) << 3)
		if err != nil {
			return err
		}
		if nameHash(d.name) != x.hash || i > 0 && x.addr == list[i-1].addr {
			return in.at().Corrupt("the index leads to %q by %#08x", d.name, x.hash)
		}
	}
	if len(list) != count {
		return in.at().Corrupt("%d entries, %d in the index", count, len(list))
	}
	return nil
}

// wholeIndex lists the index, which must ascend.
func (l *dirLookup) wholeIndex() ([]indexEntry, error) {
	var out []indexEntry
	add := func(x hashIndex) error {
		for i := range x.len() {
			if n := len(out); n > 0 && x.hash(i) < out[n-1].hash {
				return l.in.at().Corrupt("its index is out of order")
			}
			if x.addr(i) != 0 {
				out = append(out, indexEntry{x.hash(i), x.addr(i)})
			}
		}
		return nil
	}
	b, err := l.block(0)
	if err != nil {
		return nil, err
	}
	if b.leafs >= 0 {
		err := add(hashIndex(b.raw[b.end:][:b.leafs*dirLeafEntry]))
		return out, err
	}
	nr := l.v.dirIndexStart()
	for seen := uint64(0); seen <= l.v.blockCount; seen++ {
		d, err := l.v.daBlock(l.in, l.m, nr, l.v.dirBits, "directory index")
		if err != nil {
			return nil, err
		}
		if d.node {
			if d.count == 0 || seen > daMaxDepth {
				return nil, d.at.Corrupt("a node of %d entries at depth %d", d.count, seen)
			}
			nr = uint64(d.entries().addr(0))
			continue
		}
		x, err := d.hashes()
		if err == nil {
			err = add(x)
		}
		if err != nil || d.forw == 0 {
			return out, err
		}
		nr = d.forw
	}
	return nil, l.in.at().Corrupt("its index does not end")
}
