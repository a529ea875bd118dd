package xfs

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Inodes come in chunks of 64, with one record each. In a sparse chunk groups of
// four do not exist: their blocks belong to somebody else.
const (
	chunkInodes = 64
	holeInodes  = 4
)

// chunk is a record of the tree of inodes.
type chunk struct {
	start uint32 // number of the first inode in the AG
	hole  uint16 // groups that do not exist
	free  uint64 // one bit each, those that do not exist too
	idle  uint64 // of the free ones, those that were when the transaction began
}

// exists has a bit for each inode that exists.
func (c *chunk) exists() uint64 {
	out := uint64(0)
	for i := range chunkInodes / holeInodes {
		if c.hole>>i&1 == 0 {
			out |= (1<<holeInodes - 1) << (i * holeInodes)
		}
	}
	return out
}

func (c *chunk) count() uint32     { return uint32(bits.OnesCount64(c.exists())) }
func (c *chunk) freeCount() uint32 { return uint32(bits.OnesCount64(c.free & c.exists())) }

// pick is the first inode that can be given out, or -1. One that was freed in this
// transaction keeps its number to the end of it.
func (c *chunk) pick() int {
	mask := c.free & c.idle
	if mask != 0 { // as it seldom is where many are made
		mask &= c.exists()
	}
	if mask == 0 {
		return -1
	}
	return bits.TrailingZeros64(mask)
}

// decodeChunk reads a record; count and freecount are what it says of itself.
func (g *geometry) decodeChunk(p []byte) (c chunk, count, freeCount uint32) {
	c = chunk{start: be.Uint32(p), free: be.Uint64(p[8:])}
	count, freeCount = chunkInodes, be.Uint32(p[4:])
	if g.has(incompat, fiSpinodes) {
		c.hole, count, freeCount = be.Uint16(p[4:]), uint32(p[6]), uint32(p[7])
	}
	c.idle = c.free
	return c, count, freeCount
}

func (g *geometry) appendChunk(p []byte, c *chunk) []byte {
	p = be.AppendUint32(p, c.start)
	if g.has(incompat, fiSpinodes) {
		p = be.AppendUint16(p, c.hole)
		p = append(p, byte(c.count()), byte(c.freeCount()))
	} else {
		p = be.AppendUint32(p, c.freeCount())
	}
	return be.AppendUint64(p, c.free)
}

// chunkBlocks is how many blocks inodes are allocated in at once: those of a chunk,
// or one, that holds several.
func (g *geometry) chunkBlocks() uint32 { return max(1, uint32(chunkInodes)>>g.inopBits) }

// blocksOf are the blocks of a chunk that exist; false when a block does in part.
func (g *geometry) blocksOf(c *chunk) ([]extent, bool) {
	first := c.start >> g.inopBits
	if g.inopBits >= 6 {
		return []extent{{first, 1}}, c.hole == 0
	}
	var out []extent
	per := uint32(1) << g.inopBits
	mask := uint64(1)<<per - 1
	for i := range g.chunkBlocks() {
		switch c.exists() >> (i * per) & mask {
		case mask:
			out = append(out, extent{first + i, 1})
		case 0:
		default:
			return nil, false
		}
	}
	return out, true
}

// agino splits the number of an inode.
func (g *geometry) agino(num uint64) (ag, agino uint32) {
	return uint32(num >> (g.agBits + g.inopBits)), uint32(num & (1<<(g.agBits+g.inopBits) - 1))
}

func (g *geometry) inodeNumber(ag, agino uint32) uint64 {
	return uint64(ag)<<(g.agBits+g.inopBits) | uint64(agino)
}

// newInode takes a free inode, if it can one in the AG of near, and makes new ones
// when there is none. The inode on the disk is still a free one, with its
// generation; the caller writes it.
func (s *space) newInode(near uint64) (uint64, error) {
	ag, agino := s.v.agino(near)
	if ag >= s.v.agCount {
		ag, agino = 0, 0
	}
	if err := s.survey(); err != nil {
		return 0, err
	}
	for i := range s.v.agCount {
		n := uint32((uint64(ag) + uint64(i)) % uint64(s.v.agCount))
		if s.agis[n].FreeCount == 0 && s.groups[n] == nil {
			continue
		}
		g, err := s.group(n)
		if err != nil {
			return 0, err
		}
		if i > 0 {
			agino = 0
		}
		if num, err := s.idleInode(g, agino); num != 0 || err != nil {
			return num, err
		}
	}
	return s.inodeOfNewChunk(ag)
}

// idleInode takes a free inode of a group, from the chunk of agino on; 0 when there
// is none.
func (s *space) idleInode(g *group, agino uint32) (uint64, error) {
	from, found := slices.BinarySearchFunc(g.chunks, agino, func(c chunk, n uint32) int { return cmp.Compare(c.start, n) })
	if !found && from > 0 {
		from--
	}
	for i := range g.chunks {
		at := (from + i) % len(g.chunks)
		slot := g.chunks[at].pick()
		if slot < 0 {
			continue
		}
		c := g.chunks[at]
		c.free &^= 1 << slot
		num := s.v.inodeNumber(g.num, c.start+uint32(slot))
		if err := s.checkIdle(num); err != nil {
			return 0, err
		}
		splice(s.stage, &g.chunks, at, at+1, c)
		assign(s.stage, &g.inodesChanged, true)
		return num, s.fits(g)
	}
	return 0, nil
}

// checkIdle verifies that an inode which is called free looks so.
func (s *space) checkIdle(num uint64) error {
	v := s.v
	block, err := v.readNear(num >> v.inopBits)
	if err != nil {
		return err
	}
	slot := int(num&(1<<v.inopBits-1)) << v.inodeBits
	raw, off := block[slot:][:v.inodeSize], v.byteOff(num>>v.inopBits)+int64(slot)
	at := ondisk.At(layer, "inode", off).In("inode %d", num)
	switch {
	case be.Uint16(raw) != inodeMagic:
		return at.Corrupt("magic %#04x", be.Uint16(raw))
	case be.Uint16(raw[2:]) != 0:
		return at.Corrupt("it is in use, and marked free")
	case v.v5():
		return inodeStamp.verify(raw, v.uuid, off, num, at)
	}
	return nil
}

// freeInode makes an inode free. The caller has released its blocks and writes it
// as a free one.
func (s *space) freeInode(num uint64) error {
	at := ondisk.At(layer, inobt.name, ondisk.NoOffset).In("inode %d", num)
	if !s.v.inodeOK(num) {
		return at.Corrupt("it does not exist")
	}
	ag, agino := s.v.agino(num)
	g, err := s.group(ag)
	if err != nil {
		return err
	}
	i, found := slices.BinarySearchFunc(g.chunks, agino, func(c chunk, n uint32) int { return cmp.Compare(c.start, n) })
	if !found {
		i--
	}
	if i < 0 || agino-g.chunks[i].start >= chunkInodes {
		return at.Corrupt("it is in no chunk")
	}
	c := g.chunks[i]
	bit := uint64(1) << (agino - c.start)
	if c.exists()&bit == 0 || c.free&bit != 0 {
		return at.Corrupt("it is not in use")
	}
	c.free |= bit
	splice(s.stage, &g.chunks, i, i+1, c)
	assign(s.stage, &g.inodesChanged, true)
	return s.fits(g)
}

// inodeOfNewChunk makes new inodes, if there is room in the AG that is asked for,
// and takes the first.
func (s *space) inodeOfNewChunk(ag uint32) (uint64, error) {
	v := s.v
	made := max(chunkInodes, uint64(1)<<v.inopBits)
	if limit := s.inodeLimit(); limit != 0 && s.inodes+made > limit {
		return 0, errFull("inodes")
	}
	if !s.spare(uint64(v.chunkBlocks())) {
		return 0, errFull("blocks for inodes")
	}
	for _, n := range s.byRoom(ag) {
		g, err := s.group(n)
		if err != nil {
			return 0, err
		}
		e, ok := s.chunkPlace(g)
		if !ok || s.usable(g) < uint64(e.count) {
			continue
		}
		if err := s.makeChunk(g, e, made); err != nil {
			return 0, err
		}
		return s.idleInode(g, e.start<<v.inopBits)
	}
	return 0, errFull("blocks for inodes")
}

// inodeLimit is how many inodes there may be; 0 when as many as fit.
func (s *space) inodeLimit() uint64 {
	v := s.v
	blocks := v.blockCount * uint64(v.super.IMaxPct) / 100
	return blocks / uint64(v.chunkBlocks()) * uint64(v.chunkBlocks()) << v.inopBits
}

// chunkPlace finds free blocks for a chunk, aligned as the superblock wants it.
func (s *space) chunkPlace(g *group) (extent, bool) {
	v := s.v
	align, n := uint32(1), v.chunkBlocks()
	if v.has(versionBits, fvAlign) {
		align = max(1, v.super.InoAlignMt)
	}
	for _, e := range g.avail {
		first := ondisk.AlignUp(int64(e.start), int64(align))
		end := ondisk.AlignUp(first+int64(n), int64(align)) // no inode lies in the rest of a group
		if first+int64(n) <= int64(e.end()) && end <= int64(g.size) {
			return extent{uint32(first), n}, true
		}
	}
	return extent{}, false
}

// makeChunk takes blocks and fills them with free inodes.
func (s *space) makeChunk(g *group, e extent, made uint64) error {
	v := s.v
	if g.fixed.meets(e) {
		return g.at(bnobt.name).Corrupt("blocks %d+%d hold metadata", e.start, e.count)
	}
	s.take(g, e)
	g.fixed.include(s.stage, e)
	if v.has(roCompat, frRmapbt) {
		g.rmaps.include(s.stage, rmap{start: e.start, count: e.count, owner: ownInodes})
	}
	first := e.start << v.inopBits
	for i := range e.count {
		raw := make([]byte, v.blockSize)
		for slot := range uint64(1) << v.inopBits {
			num := v.fsblock(g.num, e.start+i)<<v.inopBits + slot
			v.freshInode(raw[slot<<v.inodeBits:][:v.inodeSize], num, 0)
		}
		s.stage.Put(s.stageBlock(g.num, e.start+i), raw)
	}
	at, _ := slices.BinarySearchFunc(g.chunks, first, func(c chunk, n uint32) int { return cmp.Compare(c.start, n) })
	fresh := make([]chunk, made/chunkInodes)
	for i := range fresh {
		fresh[i] = chunk{start: first + uint32(i)*chunkInodes, free: 1<<chunkInodes - 1, idle: 1<<chunkInodes - 1}
	}
	splice(s.stage, &g.chunks, at, at, fresh...)
	assign(s.stage, &s.inodes, s.inodes+made)
	return nil
}
