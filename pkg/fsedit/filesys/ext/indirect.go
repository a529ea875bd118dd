package ext

import (
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// indirectMap is the map of ext2 and ext3: i_block names 12 blocks and three
// trees, one, two and three levels deep, of blocks full of 32-bit numbers.
type indirectMap struct {
	v    *volume
	in   *inode
	last atomic.Pointer[pointerBlock]
}

const indirectLevels = 3

// pointerBlock holds the numbers of the blocks from lo on.
type pointerBlock struct {
	raw []byte
	lo  uint64
	at  ondisk.Place
}

func (p *pointerBlock) len() uint64           { return uint64(len(p.raw) / 4) }
func (p *pointerBlock) entry(i uint64) uint64 { return uint64(le.Uint32(p.raw[i*4:])) }

// fanoutBits is log2 of the numbers in a block.
func (m *indirectMap) fanoutBits() uint { return m.v.blockBits - 2 }

func (m *indirectMap) direct() *pointerBlock {
	return &pointerBlock{raw: m.in.raw[inBlock:][:directBlocks*4], at: m.in.at()}
}

// root is the number in i_block of the tree of the given level, from 1.
func (m *indirectMap) root(level uint) uint64 {
	return uint64(le.Uint32(m.in.raw[inBlock+4*(directBlocks+int(level)-1):]))
}

func (m *indirectMap) find(logical uint64) (run, error) {
	if logical < directBlocks {
		return m.v.runIn(m.direct(), logical)
	}
	if p := m.last.Load(); p != nil && logical >= p.lo && logical-p.lo < p.len() {
		return m.v.runIn(p, logical)
	}
	lo := uint64(directBlocks)
	for level := uint(1); level <= indirectLevels; level++ {
		span := uint64(1) << (level * m.fanoutBits())
		if logical-lo < span {
			return m.descend(m.root(level), level, lo, span, logical)
		}
		lo += span
	}
	return run{logical: lo, count: max(maxLogical, logical+1) - lo, kind: runHole}, nil
}

// descend follows the tree at block nr, whose blocks are lo to lo+span.
func (m *indirectMap) descend(nr uint64, level uint, lo, span, logical uint64) (run, error) {
	for {
		if nr == 0 {
			return run{logical: lo, count: span, kind: runHole}, nil
		}
		p, err := m.pointers(nr, lo)
		if err != nil {
			return run{}, err
		}
		if level == 1 {
			m.last.Store(p)
			return m.v.runIn(p, logical)
		}
		level--
		span = 1 << (level * m.fanoutBits())
		i := (logical - lo) / span
		lo += i * span
		nr = p.entry(i)
	}
}

func (m *indirectMap) pointers(nr, lo uint64) (*pointerBlock, error) {
	at := ondisk.At(layer, "indirect block", m.v.byteOff(nr)).In("inode %d", m.in.num)
	if !m.v.inVolume(nr, 1) {
		return nil, m.in.at().Corrupt("indirect block %d is outside the filesystem", nr)
	}
	raw, err := m.v.readBlock(nr)
	if err != nil {
		return nil, err
	}
	return &pointerBlock{raw: raw, lo: lo, at: at}, nil
}

// runIn is the longest run around a block that one pointer block tells.
func (v *volume) runIn(p *pointerBlock, logical uint64) (run, error) {
	i := logical - p.lo
	first := p.entry(i)
	r := run{logical: logical, phys: first, count: 1}
	if first == 0 {
		r.kind = runHole
	}
	for j := i + 1; j < p.len(); j++ {
		e := p.entry(j)
		if first == 0 && e != 0 || first != 0 && e != first+(j-i) {
			break
		}
		r.count++
	}
	if r.kind == runData && !v.inVolume(r.phys, r.count) {
		return run{}, p.at.Corrupt("blocks %d+%d are outside the filesystem", r.phys, r.count)
	}
	return r, nil
}

func (m *indirectMap) visit(f func(run) error, meta func(uint64) error) error {
	meta = m.v.bounded(m.in, meta)
	if err := m.v.visitPointers(m.direct(), f); err != nil {
		return err
	}
	lo := uint64(directBlocks)
	for level := uint(1); level <= indirectLevels; level++ {
		if err := m.visitTree(m.root(level), level, lo, f, meta); err != nil {
			return err
		}
		lo += 1 << (level * m.fanoutBits())
	}
	return nil
}

func (m *indirectMap) visitTree(nr uint64, level uint, lo uint64, f func(run) error, meta func(uint64) error) error {
	if nr == 0 {
		return nil
	}
	p, err := m.pointers(nr, lo)
	if err != nil {
		return err
	}
	if err := meta(nr); err != nil {
		return err
	}
	if level == 1 {
		return m.v.visitPointers(p, f)
	}
	span := uint64(1) << ((level - 1) * m.fanoutBits())
	for i := range p.len() {
		if err := m.visitTree(p.entry(i), level-1, lo+i*span, f, meta); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) visitPointers(p *pointerBlock, f func(run) error) error {
	for i := uint64(0); i < p.len(); {
		r, err := v.runIn(p, p.lo+i)
		if err != nil {
			return err
		}
		if r.kind == runData {
			if err := f(r); err != nil {
				return err
			}
		}
		i += r.count
	}
	return nil
}
