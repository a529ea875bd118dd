package xfs

import (
	"cmp"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// holding is what a fork has outside of the inode: its blocks, and those of its map.
type holding struct {
	runs []run
	tree []uint64
}

func (h *holding) blocks() uint64 { return blocksOf(h.runs) + uint64(len(h.tree)) }

func blocksOf(runs []run) (n uint64) {
	for _, r := range runs {
		n += r.count
	}
	return n
}

// holding reads the whole map of a fork. One without a map has nothing.
func (v *volume) holding(f fork) (*holding, error) {
	h := &holding{}
	if f.format != formatExtent && f.format != formatBtree {
		return h, nil
	}
	m, err := v.mapOf(f)
	if err != nil {
		return nil, err
	}
	if l, ok := m.(*extentList); ok {
		return h, h.addList(v, l, f)
	}
	t := m.(*bmapTree)
	n, err := t.root()
	if err != nil {
		return nil, err
	}
	if err := h.addNode(t, n); err != nil {
		return nil, err
	}
	if uint64(len(h.runs)) != f.count {
		return nil, f.at().Corrupt("%d extents, the map has %d", f.count, len(h.runs))
	}
	return h, nil
}

func (h *holding) addList(v *volume, l *extentList, f fork) error {
	if len(h.runs)+l.len() > max(v.limits.Entries, int(v.limits.Table/64)) {
		return f.at().TooBig("more than %d extents", len(h.runs))
	}
	for i := range l.len() {
		h.runs = append(h.runs, l.at(i))
	}
	return nil
}

func (h *holding) addNode(t *bmapTree, n *bmapNode) error {
	for i := range n.len() {
		below, leaf, err := t.child(n, i)
		if err != nil {
			return err
		}
		if uint64(len(h.tree)) > t.v.blockCount {
			return t.fork.at().Corrupt("its map does not end")
		}
		h.tree = append(h.tree, n.ptr(i))
		if leaf != nil {
			err = h.addList(t.v, leaf, t.fork)
		} else {
			err = h.addNode(t, below)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendExtent is the other way of decodeExtent.
func appendExtent(p []byte, r run) []byte {
	a, b := r.logical<<9|r.phys>>43, r.phys<<21|r.count
	if r.kind == runUnwritten {
		a |= 1 << 63
	}
	return be.AppendUint64(be.AppendUint64(p, a), b)
}

// mergeRuns sorts runs, and joins those that one extent can map.
func (g *geometry) mergeRuns(runs []run) []run {
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.logical, b.logical) })
	out := runs[:0]
	for _, r := range runs {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.end() == r.logical && last.phys+last.count == r.phys && last.kind == r.kind &&
				last.count+r.count <= maxExtent && g.extentOK(last.phys, last.count+r.count) {
				last.count += r.count
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// forkOwner is how the reverse map calls a fork, or the blocks of its map.
func forkOwner(in *inode, attr, bmbt bool) owner { return owner{in.num, attr, bmbt} }

// area is where a fork lies in the inode, and where its format is told.
func (e *editor) area(in *inode, attr bool) (p []byte, formatAt int) {
	if attr {
		return in.raw[in.core+int(in.ForkOff)*8:], inAFormat
	}
	return e.v.dataFork(in).raw, inFormat
}

// setMap gives a fork a map of runs. Its old one goes; what old.runs were is the
// caller's to release. The inode is the caller's to stage.
func (e *editor) setMap(in *inode, attr bool, old *holding, runs []run) error {
	runs = e.v.mergeRuns(slices.Clone(runs))
	if len(runs) > in.mostExtents(attr) {
		return in.at().NoSpace("%d extents", len(runs))
	}
	area, formatAt := e.area(in, attr)
	b := mapBuilder{e: e, in: in, attr: attr, pool: old.tree}
	tree, root, err := b.build(runs, len(area))
	if err != nil {
		return err
	}
	clear(area)
	copy(area, root)
	in.raw[formatAt] = formatExtent
	if tree > 0 {
		in.raw[formatAt] = formatBtree
	}
	in.setExtents(attr, len(runs))
	in.put64(inNBlocks, in.NBlocks+blocksOf(runs)+uint64(tree)-old.blocks())
	return nil
}

// setLocal puts the content of a fork into the inode.
func (e *editor) setLocal(in *inode, attr bool, old *holding, p []byte) error {
	area, formatAt := e.area(in, attr)
	if len(p) > len(area) {
		return in.at().Corrupt("%d bytes for a fork of %d", len(p), len(area))
	}
	b := mapBuilder{e: e, in: in, attr: attr, pool: old.tree}
	if err := b.freePool(); err != nil {
		return err
	}
	clear(area)
	copy(area, p)
	in.raw[formatAt] = formatLocal
	in.setExtents(attr, 0)
	in.put64(inNBlocks, in.NBlocks-old.blocks())
	return nil
}

// mapBuilder builds the map of a fork, from the blocks that it had first.
type mapBuilder struct {
	e    *editor
	in   *inode
	attr bool
	pool []uint64
}

// build returns what lies in the inode, and the number of blocks of the tree.
func (b *mapBuilder) build(runs []run, area int) (tree int, root []byte, err error) {
	var records, keys []byte
	for _, r := range runs {
		records = appendExtent(records, r)
	}
	if len(records) <= area {
		return 0, records, b.freePool()
	}
	g := &b.e.v.geometry
	size, level, room := bmbtRecSize, 0, bmdrRoom(area)
	var ptrs []byte
	for n := len(runs); level == 0 || n > room; level++ {
		cap := (int(g.blockSize) - b.header()) / bmbtRecSize
		counts := evenly(n, spread(n, cap, cap))
		places, err := b.places(len(counts))
		if err != nil {
			return 0, nil, err
		}
		var above []byte
		for i, count := range counts {
			raw := b.block(level, i, count, places)
			body := raw[b.header():]
			copy(body, records[:count*size])
			above = be.AppendUint64(above, firstKey(records, level))
			records = records[count*size:]
			if level > 0 {
				copy(body[cap*bmbtKeySize:], ptrs[:count*bmbtPtrSize])
				ptrs = ptrs[count*bmbtPtrSize:]
			}
			b.put(places[i], raw)
		}
		ptrs = ptrs[:0:0]
		for _, nr := range places {
			ptrs = be.AppendUint64(ptrs, nr)
		}
		tree, n, records, keys, size = tree+len(places), len(places), above, above, bmbtKeySize
	}
	root = be.AppendUint16(be.AppendUint16(nil, uint16(level)), uint16(len(keys)/bmbtKeySize))
	root = append(root, keys...)
	root = append(root, make([]byte, room*bmbtKeySize-len(keys))...)
	return tree, append(root, ptrs...), b.freePool()
}

// firstKey is the first block of a file that the records of a level lead to.
func firstKey(records []byte, level int) uint64 {
	if level > 0 {
		return be.Uint64(records)
	}
	return decodeExtent(records).logical
}

func (b *mapBuilder) header() int {
	if b.e.v.v5() {
		return longHeader5
	}
	return longHeader4
}

// block is an empty block of the tree, with its header.
func (b *mapBuilder) block(level, i, count int, places []uint64) []byte {
	v := b.e.v
	raw := make([]byte, v.blockSize)
	sibling := func(i int) uint64 {
		if i < 0 || i >= len(places) {
			return 1<<64 - 1
		}
		return places[i]
	}
	be.PutUint32(raw, bmbtMagic4)
	be.PutUint16(raw[4:], uint16(level))
	be.PutUint16(raw[6:], uint16(count))
	be.PutUint64(raw[8:], sibling(i-1))
	be.PutUint64(raw[16:], sibling(i+1))
	if v.v5() {
		be.PutUint32(raw, bmbtMagic5)
		v.identify(raw, longStamp, places[i], b.in.num)
	}
	return raw
}

// identify writes what a block of version 5 says of itself, but for its checksum.
func (v *volume) identify(raw []byte, s stamp, fsb, owner uint64) {
	be.PutUint64(raw[s.blkno:], uint64(v.byteOff(fsb))>>daddrBits)
	copy(raw[s.uuid:], v.uuid[:])
	be.PutUint64(raw[s.owner:], owner)
}

func (b *mapBuilder) put(fsb uint64, raw []byte) {
	if b.e.v.v5() {
		longStamp.seal(raw)
	}
	b.e.putBlock(fsb, raw)
}

// putBlock stages a whole block.
func (e *editor) putBlock(fsb uint64, raw []byte) {
	e.stage.Put(uint64(e.v.byteOff(fsb))>>e.v.blockBits, raw)
}

// places takes n blocks for the tree.
func (b *mapBuilder) places(n int) ([]uint64, error) {
	k := min(n, len(b.pool))
	out := slices.Clone(b.pool[:k])
	b.pool = b.pool[k:]
	if k == n {
		return out, nil
	}
	runs, err := b.e.space.allocate(forkOwner(b.in, b.attr, true), 0, uint64(n-k))
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		for i := range r.count {
			out = append(out, r.phys+i)
		}
	}
	return out, nil
}

// freePool releases blocks that the tree had and has no more.
func (b *mapBuilder) freePool() error {
	for _, fsb := range b.pool {
		if err := b.e.space.release(forkOwner(b.in, b.attr, true), run{phys: fsb, count: 1}); err != nil {
			return err
		}
	}
	b.pool = nil
	return nil
}

// releaseRuns gives back blocks of a fork.
func (e *editor) releaseRuns(in *inode, attr bool, runs []run) error {
	for _, r := range runs {
		if err := e.space.release(forkOwner(in, attr, false), r); err != nil {
			return err
		}
	}
	return nil
}

// refit makes of the runs that a fork has at and after logical those of count
// blocks from there on, which need not follow each other. Blocks that stay keep
// their places.
func (e *editor) refit(in *inode, attr bool, have []run, logical, count uint64) ([]run, error) {
	o, end := forkOwner(in, attr, false), logical+count
	var out []run
	next := logical
	grow := func(to uint64) error {
		if next >= to {
			return nil
		}
		more, err := e.space.allocate(o, next, to-next)
		out, next = append(out, more...), to
		return err
	}
	for _, r := range have {
		if keep := min(r.end(), end); keep > r.logical {
			if err := grow(r.logical); err != nil {
				return nil, err
			}
			part := r
			part.count, part.kind = keep-r.logical, runData
			out, next = append(out, part), keep
		}
		if cut := max(r.logical, end); cut < r.end() {
			rest := run{logical: cut, phys: r.phys + cut - r.logical, count: r.end() - cut, kind: r.kind}
			if err := e.space.release(o, rest); err != nil {
				return nil, err
			}
		}
	}
	return out, grow(end)
}

// putRun stages blocks that follow each other from logical on; stamp, for version
// 5, says where such blocks tell what they are, and step how many of the
// filesystem's make one.
func (e *editor) putRun(in *inode, runs []run, logical uint64, raw []byte, s stamp) error {
	v := e.v
	m := &extentList{hi: maxLogical}
	for _, r := range runs {
		m.raw = appendExtent(m.raw, r)
	}
	for at := uint64(0); at < uint64(len(raw))>>v.blockBits; at++ {
		r, err := m.find(logical + at)
		if err != nil {
			return err
		}
		if r.kind == runHole {
			return in.at().Corrupt("block %d has no place", logical+at)
		}
		fsb := r.phys + logical + at - r.logical
		if at == 0 && v.v5() {
			v.identify(raw, s, fsb, in.num)
			s.seal(raw)
		}
		e.putBlock(fsb, slices.Clone(raw[at<<v.blockBits:][:v.blockSize]))
	}
	return nil
}

// setPending registers the content of an inode; nil content forgets it.
func (e *editor) setPending(ino uint64, p pendingFile) {
	if p.content == nil {
		stage.Delete(e.stage, e.pending, ino)
	} else {
		stage.Set(e.stage, e.pending, ino, p)
	}
}

// span is a range of blocks of a file.
type span struct{ at, count uint64 }

// layOut allocates blocks for the ranges of a file that hold data.
func (e *editor) layOut(in *inode, spans []span) ([]run, error) {
	var out []run
	for _, s := range spans {
		runs, err := e.space.allocate(forkOwner(in, false, false), s.at, s.count)
		if err != nil {
			return nil, err
		}
		out = append(out, runs...)
	}
	return out, nil
}

// blocksFor is the number of blocks that n bytes take.
func (g *geometry) blocksFor(n int64) uint64 { return uint64(ondisk.DivUp(n, g.blockSize)) }
