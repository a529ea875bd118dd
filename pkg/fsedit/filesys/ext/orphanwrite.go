package ext

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Orphans are inodes that were deleted while open, and files that were being
// cut short: a list through i_dtime, and a file of inode numbers.

// processOrphans deletes or truncates them.
func (e *editor) processOrphans() error {
	if err := e.orphanList(); err != nil {
		return err
	}
	return e.orphanFile()
}

func (e *editor) orphanList() error {
	num := e.v.super().LastOrphan
	if num == 0 {
		return nil
	}
	for range e.v.inodeCount {
		if num == 0 {
			return e.patchSuper(func(raw []byte) { le.PutUint32(raw[sbLastOrphan:], 0) })
		}
		next, err := e.processOrphan(num)
		if err != nil {
			return err
		}
		num = next
	}
	return ondisk.At(layer, "orphan list", ondisk.NoOffset).Corrupt("it forms a loop")
}

// processOrphan deals with one orphan and returns what its i_dtime held.
func (e *editor) processOrphan(num uint32) (next uint32, err error) {
	if num < e.v.firstInode {
		return 0, ondisk.At(layer, "orphans", ondisk.NoOffset).Corrupt("inode %d", num)
	}
	in, err := e.v.inode(num)
	if err != nil {
		return 0, err
	}
	next = in.Dtime
	if in.Links == 0 {
		return next, e.release(in)
	}
	in.put32(inDtime, 0)
	if in.mode().IsRegular() && e.v.hasMap(in) {
		return next, e.truncate(in)
	}
	return next, e.putInode(in)
}

// truncate frees what a file holds beyond its size.
func (e *editor) truncate(in *inode) error {
	v := e.v
	h, err := v.holdings(in)
	if err != nil {
		return err
	}
	end := v.blocksOf(in.size(v))
	var keep []run
	for _, r := range h.runs {
		if n := min(r.end(), max(end, r.logical)) - r.logical; n < r.count {
			if err := e.freeBlocks(zone{r.phys + n, r.count - n}); err != nil {
				return err
			}
			r.count = n
		}
		if r.count > 0 {
			keep = append(keep, r)
		}
	}
	now := holdings{runs: keep}
	tree, err := e.setMap(in, keep, h.tree)
	if err != nil {
		return err
	}
	if err := in.addBlocks(v, int64(now.blocks())+int64(tree)-int64(h.blocks())); err != nil {
		return err
	}
	if err := e.clearTail(in, keep); err != nil {
		return err
	}
	return e.putInode(in)
}

// clearTail zeroes what the last block holds beyond the end of the file.
func (e *editor) clearTail(in *inode, rs []run) error {
	size := in.size(e.v)
	used := size & (e.v.blockSize - 1)
	last := uint64(size >> e.v.blockBits)
	i := slices.IndexFunc(rs, func(r run) bool { return r.logical <= last && last < r.end() && r.kind == runData })
	if used == 0 || i < 0 {
		return nil
	}
	nr := rs[i].phys + last - rs[i].logical
	block, err := e.block(nr)
	if err != nil {
		return err
	}
	clear(block[used:])
	e.stage.Put(nr, block)
	return nil
}

// orphanTail is the end of a block of the orphan file: magic and checksum.
const orphanTail = 8

// orphanFile deals with the inodes that the orphan file names, and empties it.
func (e *editor) orphanFile() error {
	v := e.v
	if !v.hasCompat(fcOrphanFile) || !v.hasROCompat(frOrphanPresent) {
		return nil
	}
	in, err := v.inode(v.super().OrphanFileInode)
	if err != nil {
		return err
	}
	m := v.mapOf(in)
	for i := range v.blocksOf(in.size(v)) {
		raw, nr, err := v.readFileBlock(m, i)
		if err == nil && raw == nil {
			err = in.at().Corrupt("a hole in the orphan file")
		}
		if err != nil {
			return err
		}
		if err := e.orphanBlock(in, nr, slices.Clone(raw)); err != nil {
			return err
		}
	}
	return e.patchSuper(func(raw []byte) {
		le.PutUint32(raw[sbFeatureROCompat:], le.Uint32(raw[sbFeatureROCompat:])&^frOrphanPresent)
	})
}

func (e *editor) orphanBlock(in *inode, nr uint64, block []byte) error {
	v := e.v
	at := ondisk.At(layer, "orphan file", v.byteOff(nr))
	tail := len(block) - orphanTail
	if magic := le.Uint32(block[tail:]); magic != orphanTailMagic {
		return at.In("magic").Corrupt("%#08x", magic)
	}
	if v.checksums() && le.Uint32(block[tail+4:]) != orphanBlockSum(in.iseed(v), nr, block) {
		return at.In("checksum").Corrupt("%#08x", le.Uint32(block[tail+4:]))
	}
	if ondisk.IsZero(block[:tail]) {
		return nil
	}
	for p := block[:tail]; len(p) >= 4; p = p[4:] {
		num := le.Uint32(p)
		if num == 0 {
			continue
		}
		if _, err := e.processOrphan(num); err != nil {
			return err
		}
		le.PutUint32(p, 0)
	}
	if v.checksums() {
		le.PutUint32(block[tail+4:], orphanBlockSum(in.iseed(v), nr, block))
	}
	e.stage.Put(nr, block)
	return nil
}
