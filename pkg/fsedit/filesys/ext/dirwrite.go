package ext

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// directory is a directory that is being changed: its inode and the place of
// each of its blocks.
type directory struct {
	e      *editor
	in     *inode
	tree   []uint64 // blocks of its map
	blocks []uint64
}

// directory opens a directory for a search or a change; one with inline data
// has no blocks.
func (e *editor) directory(n filesys.Node) (*directory, error) {
	in, err := e.v.dirNode(n)
	if err != nil {
		return nil, err
	}
	h, err := e.v.holdings(in)
	if err != nil {
		return nil, err
	}
	d := &directory{e: e, in: in, tree: h.tree}
	for _, r := range h.runs {
		if r.logical != uint64(len(d.blocks)) || r.kind != runData {
			return nil, in.at().Corrupt("a directory with a hole at block %d", len(d.blocks))
		}
		for i := range r.count {
			d.blocks = append(d.blocks, r.phys+i)
		}
	}
	if !in.has(flInlineData) && in.size(e.v) != int64(len(d.blocks))<<e.v.blockBits {
		return nil, in.at().In("size").Corrupt("%d, with %d blocks", in.size(e.v), len(d.blocks))
	}
	return d, nil
}

// editable refuses what cannot be changed, and gives an inline directory blocks.
func (d *directory) editable() error {
	switch {
	case d.in.has(flEncrypt):
		return d.in.at().Unsupported("the directory is encrypted")
	case d.in.has(flCasefold):
		return d.in.at().Unsupported("the directory ignores case (casefold)")
	case d.in.has(flInlineData):
		return d.fromInline()
	case d.in.has(flIndex) && !d.e.v.hasCompat(fcDirIndex):
		return d.in.at().Unsupported("an indexed directory without the feature dir_index")
	}
	return nil
}

// indexed reports whether names are found by hash.
func (d *directory) indexed() bool { return d.in.has(flIndex) && d.e.v.hasCompat(fcDirIndex) }

// leafRoom is the part of a block that entries fill.
func (v *volume) leafRoom() int {
	if v.checksums() {
		return int(v.blockSize) - dirTailSize
	}
	return int(v.blockSize)
}

// block returns a private copy of a block, verified.
func (d *directory) block(i int) ([]byte, error) {
	v := d.e.v
	raw, err := v.readBlock(d.blocks[i])
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "directory block", v.byteOff(d.blocks[i])).In("inode %d", d.in.num)
	return slices.Clone(raw), v.verifyDirBlock(d.in, uint64(i), raw, at)
}

// leafOf views a block as a leaf.
func (d *directory) leafOf(block []byte) leaf {
	return leaf{b: block[:d.e.v.leafRoom()], bs: int(d.e.v.blockSize)}
}

// putLeaf seals a leaf and stages it as block i.
func (d *directory) putLeaf(i int, block []byte) {
	v := d.e.v
	if v.checksums() {
		tail := block[len(block)-dirTailSize:]
		clear(tail)
		le.PutUint16(tail[4:], dirTailSize)
		tail[7] = dirTailType
		le.PutUint32(tail[8:], dirLeafSum(d.in.iseed(v), block))
	}
	d.e.stage.Put(d.blocks[i], block)
}

// place is where an entry stands.
type place struct {
	block int
	slot  slot
	raw   []byte // the block
}

func (p *place) found() bool { return p.slot.ino != 0 }

// find looks a name up; the place is not found when there is none.
func (d *directory) find(name string) (place, error) {
	candidates, err := d.leavesFor(name)
	if err != nil {
		return place{}, err
	}
	for _, i := range candidates {
		block, err := d.block(i)
		if err != nil {
			return place{}, err
		}
		s, err := d.leafOf(block).find(name)
		if err != nil || s.ino != 0 {
			return place{i, s, block}, d.in.at().Wrap(err)
		}
	}
	return place{}, nil
}

// leavesFor are the blocks in which a name may stand.
func (d *directory) leavesFor(name string) ([]int, error) {
	if d.indexed() {
		x, err := d.index()
		if err != nil {
			return nil, err
		}
		return x.leavesFor(name), nil
	}
	all := make([]int, len(d.blocks))
	for i := range all {
		all[i] = i
	}
	return all, nil
}

// insert adds an entry whose name is not there yet. The directory's inode is
// the caller's to stage.
func (d *directory) insert(x leafEntry) error {
	if !d.e.v.hasIncompat(fiFiletype) {
		x.typ = 0
	}
	if d.indexed() {
		return d.insertIndexed(x)
	}
	for i := range d.blocks {
		done, err := d.insertInto(i, x)
		if done || err != nil {
			return err
		}
	}
	if len(d.blocks) == 1 && d.e.hash != nil && d.e.v.hasCompat(fcDirIndex) {
		return d.rebuild(d.e.hash, x)
	}
	return d.appendLeaf(x)
}

func (d *directory) insertInto(i int, x leafEntry) (bool, error) {
	block, err := d.block(i)
	if err != nil {
		return false, err
	}
	done, err := d.leafOf(block).insert(x)
	if done {
		d.putLeaf(i, block)
	}
	return done, d.in.at().Wrap(err)
}

func (d *directory) appendLeaf(x leafEntry) error {
	if err := d.resize(len(d.blocks) + 1); err != nil {
		return err
	}
	block := make([]byte, d.e.v.blockSize)
	d.leafOf(block).pack([]leafEntry{x})
	d.putLeaf(len(d.blocks)-1, block)
	return nil
}

// remove takes the entry at p away.
func (d *directory) remove(p place) error {
	if err := d.leafOf(p.raw).remove(p.slot.off); err != nil {
		return d.in.at().Wrap(err)
	}
	d.putLeaf(p.block, p.raw)
	return nil
}

// retarget makes the entry at p name another inode.
func (d *directory) retarget(p place, ino uint32, typ uint8) {
	le.PutUint32(p.raw[p.slot.off:], ino)
	if d.e.v.hasIncompat(fiFiletype) {
		p.raw[p.slot.off+7] = typ
	}
	d.putLeaf(p.block, p.raw)
}

// resize gives the directory n blocks, and frees those behind them.
func (d *directory) resize(n int) error {
	e := d.e
	had := len(d.blocks) + len(d.tree)
	for _, nr := range d.blocks[min(n, len(d.blocks)):] {
		if err := e.freeBlocks(zone{nr, 1}); err != nil {
			return err
		}
	}
	d.blocks = d.blocks[:min(n, len(d.blocks))]
	for len(d.blocks) < n {
		goal := e.goal(d.in)
		if len(d.blocks) > 0 {
			goal = d.blocks[len(d.blocks)-1] + 1
		}
		zones, err := e.allocBlocks(goal, uint64(n-len(d.blocks)))
		if err != nil {
			return err
		}
		for _, z := range zones {
			for i := range z.n {
				d.blocks = append(d.blocks, z.start+i)
			}
		}
	}
	runs := make([]run, len(d.blocks))
	for i, nr := range d.blocks {
		runs[i] = run{logical: uint64(i), phys: nr, count: 1}
	}
	tree, err := e.setMap(d.in, runs, d.tree)
	if err != nil {
		return err
	}
	d.in.setDirSize(e.v, int64(n)<<e.v.blockBits)
	if err := d.in.addBlocks(e.v, int64(n+tree-had)); err != nil {
		return err
	}
	return d.reopen()
}

// reopen reads the map again after it changed.
func (d *directory) reopen() error {
	h, err := d.e.v.holdings(d.in)
	if err == nil {
		d.tree = h.tree
	}
	return err
}

// parent is the directory that ".." names.
func (d *directory) parent() (uint32, error) {
	if d.in.has(flInlineData) {
		return le.Uint32(d.in.raw[inBlock:]), nil
	}
	_, s, err := d.dotDot()
	return s.ino, err
}

// setParent makes ".." name another directory.
func (d *directory) setParent(ino uint32) error {
	block, s, err := d.dotDot()
	if err != nil {
		return err
	}
	le.PutUint32(block[s.off:], ino)
	if d.in.has(flIndex) {
		d.putNode(0, dxRootCount, block)
	} else {
		d.putLeaf(0, block)
	}
	return nil
}

// dotDot finds "..", the second entry of the first block.
func (d *directory) dotDot() ([]byte, slot, error) {
	if len(d.blocks) == 0 {
		return nil, slot{}, d.in.at().Corrupt("a directory without blocks")
	}
	block, err := d.block(0)
	if err != nil {
		return nil, slot{}, err
	}
	l := leaf{b: block, bs: len(block)}
	dot, err := l.at(0)
	if err == nil && string(dot.name) == "." {
		var s slot
		if s, err = l.at(dot.recLen); err == nil && string(s.name) == ".." {
			return block, s, nil
		}
	}
	if err != nil {
		return nil, slot{}, d.in.at().Wrap(err)
	}
	return nil, slot{}, d.in.at().Corrupt(`it does not begin with "." and ".."`)
}

// empty reports whether the directory has no names of its own.
func (d *directory) empty() (bool, error) {
	for x, err := range d.e.v.dirents(d.in) {
		if err != nil || !x.isDot() {
			return false, err
		}
	}
	return true, nil
}

// entries are all names but "." and "..".
func (d *directory) entries() ([]leafEntry, error) {
	var out []leafEntry
	for x, err := range d.e.v.dirents(d.in) {
		if err != nil {
			return nil, err
		}
		if x.isDot() {
			continue
		}
		if len(out) >= d.e.v.limits.Entries {
			return nil, d.in.at().TooBig("more than %d entries", len(out))
		}
		out = append(out, leafEntry{x.ino, x.kind, string(x.name)})
	}
	return out, nil
}

// initDir fills the first block of a new directory.
func (e *editor) initDir(in *inode, parent uint32, entries []leafEntry) error {
	d := &directory{e: e, in: in}
	if err := d.resize(1); err != nil {
		return err
	}
	return d.packLinear(parent, entries)
}

// packLinear writes a directory without index; it has one block already.
func (d *directory) packLinear(parent uint32, entries []leafEntry) error {
	room := d.e.v.leafRoom()
	kind := uint8(0)
	if d.e.v.hasIncompat(fiFiletype) {
		kind = ftDir
	}
	all := append([]leafEntry{{d.in.num, kind, "."}, {parent, kind, ".."}}, entries...)
	var parts [][]leafEntry
	left := 0
	for _, x := range all {
		n := direntSize(len(x.name))
		if n > left {
			parts, left = append(parts, nil), room
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], x)
		left -= n
	}
	if len(parts) != len(d.blocks) {
		if err := d.resize(len(parts)); err != nil {
			return err
		}
	}
	for i, part := range parts {
		block := make([]byte, d.e.v.blockSize)
		d.leafOf(block).pack(part)
		d.putLeaf(i, block)
	}
	return nil
}

// fromInline moves an inline directory into blocks of its own.
func (d *directory) fromInline() error {
	parent, err := d.parent()
	if err != nil {
		return err
	}
	entries, err := d.entries()
	if err != nil {
		return err
	}
	if err := d.e.dropInline(d.in); err != nil {
		return err
	}
	if err := d.resize(1); err != nil {
		return err
	}
	if err := d.packLinear(parent, entries); err != nil {
		return err
	}
	return d.e.putInode(d.in)
}
