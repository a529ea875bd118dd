package ext

import (
	"cmp"
	"context"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// What was touched is read back through the stage, with the reader's checks,
// before any of it is written. That costs little and finds the mistakes that
// would cost a guest its files: a block with two owners, a count that is off, a
// name that its index does not lead to.

// check verifies the touched groups, inodes and directories.
func (e *editor) check(ctx context.Context) error {
	for n := range e.groups {
		if err := e.checkCounts(n); err != nil {
			return err
		}
	}
	var owned []zone
	for num := range e.touched {
		if err := ctx.Err(); err != nil {
			return err
		}
		used, err := e.inodeUsed(num)
		if err != nil {
			return err
		}
		if !used {
			continue
		}
		zs, err := e.checkInode(num)
		if err != nil {
			return err
		}
		owned = append(owned, zs...)
	}
	slices.SortFunc(owned, func(a, b zone) int { return cmp.Compare(a.start, b.start) })
	for i := range owned {
		if i > 0 && owned[i].start < owned[i-1].end() {
			return ondisk.At(layer, "block", e.v.byteOff(owned[i].start)).Corrupt("two owners")
		}
	}
	return nil
}

// checkCounts compares the counters of a group with its bitmaps, which reading
// them does.
func (e *editor) checkCounts(n uint32) error {
	g, err := e.v.group(n)
	if err != nil {
		return err
	}
	if _, err := e.blockBitmap(e.v, g); err != nil {
		return err
	}
	_, err = e.inodeBitmap(e.v, g)
	return err
}

func (e *editor) inodeUsed(num uint32) (bool, error) {
	g, err := e.v.group((num - 1) / e.v.inodesPerGroup)
	if err != nil {
		return false, err
	}
	b, err := e.inodeBitmap(e.v, g)
	if err != nil {
		return false, err
	}
	return b.has((num - 1) % e.v.inodesPerGroup), nil
}

// checkInode verifies one inode and returns the blocks that are its alone.
func (e *editor) checkInode(num uint32) ([]zone, error) {
	v := e.v
	in, err := v.inode(num)
	if err != nil {
		return nil, err
	}
	if in.Links == 0 {
		return nil, in.at().Corrupt("in use without a name")
	}
	if _, err := v.xattrs(in); err != nil {
		return nil, err
	}
	h, err := v.holdings(in)
	if err != nil {
		return nil, err
	}
	zones := make([]zone, 0, len(h.runs)+len(h.tree))
	for _, r := range h.runs {
		zones = append(zones, zone{r.phys, r.count})
	}
	for _, nr := range h.tree {
		zones = append(zones, zone{nr, 1})
	}
	for _, z := range zones {
		if err := e.checkUsed(in, z); err != nil {
			return nil, err
		}
	}
	want := int64(h.blocks())
	if nr := in.xattrBlock(v); nr != 0 {
		want++
		if err := e.checkUsed(in, zone{nr, 1}); err != nil {
			return nil, err
		}
	}
	if !in.has(flEAInode) && !v.hasIncompat(fiEAInode) && in.sectors(v) != want<<(v.blockBits-9) {
		return nil, in.at().In("blocks").Corrupt("%d, the file has %d", in.sectors(v)>>(v.blockBits-9), want)
	}
	if in.mode().IsDir() {
		return zones, e.checkDir(in)
	}
	return zones, nil
}

// checkUsed demands that the bitmap has the blocks of z.
func (e *editor) checkUsed(in *inode, z zone) error {
	v := e.v
	if inZones(e.zones, z) {
		return in.at().Corrupt("blocks %d+%d are metadata", z.start, z.n)
	}
	for z.n > 0 {
		g, err := v.group(v.groupOf(z.start))
		if err != nil {
			return err
		}
		b, err := e.blockBitmap(v, g)
		if err != nil {
			return err
		}
		first := uint32(z.start - v.groupStart(g.num))
		n := uint32(min(z.n, uint64(v.groupBlocks(g.num)-first)))
		if free := b.nextClear(first, first+n); free.n > 0 {
			return in.at().Corrupt("block %d is marked free", v.groupStart(g.num)+uint64(free.at))
		}
		z = zone{z.start + uint64(n), z.n - uint64(n)}
	}
	return nil
}

// checkDir reads all of a directory; each name must be where its index says.
func (e *editor) checkDir(in *inode) error {
	for _, err := range e.v.dirents(in) {
		if err != nil {
			return err
		}
	}
	if in.has(flInlineData) || in.has(flEncrypt) {
		return nil
	}
	d := &directory{e: e, in: in}
	h, err := e.v.holdings(in)
	if err != nil {
		return err
	}
	for _, r := range h.runs {
		for i := range r.count {
			d.blocks = append(d.blocks, r.phys+i)
		}
	}
	if _, _, err := d.dotDot(); err != nil || !in.has(flIndex) || in.has(flCasefold) {
		return err
	}
	return d.checkIndex()
}

// checkIndex compares the hash of every name with the range of its leaf.
func (d *directory) checkIndex() error {
	x, err := d.index()
	if err != nil {
		return err
	}
	for i, leaf := range x.leaves {
		block, err := d.block(int(leaf.block))
		if err != nil {
			return err
		}
		end := allOnes
		if i+1 < len(x.leaves) {
			end = x.leaves[i+1].hash
		}
		stray := ""
		err = d.leafOf(block).slots(func(s slot) bool {
			if s.ino == 0 {
				return false
			}
			major, _ := x.hash.of(string(s.name))
			if major < leaf.hash&^1 || major >= end {
				stray = string(s.name)
			}
			return stray != ""
		})
		if err != nil {
			return d.in.at().Wrap(err)
		}
		if stray != "" {
			return d.in.at().Corrupt("name %q is in the wrong leaf", stray)
		}
	}
	return nil
}
