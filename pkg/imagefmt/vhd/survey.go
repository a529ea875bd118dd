package vhd

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// claim is a part of the file that something uses.
type claim struct {
	off, end int64
	name     string // of a structure; empty for a block
	block    int64
}

func (c claim) String() string {
	if c.name != "" {
		return c.name
	}
	return fmt.Sprintf("block %d", c.block)
}

// stored is a block that the table names: where, in sectors, and which.
type stored struct{ sector, block uint32 }

// survey is who uses what in the file of a sparse image.
type survey struct {
	structures []claim  // by offset
	blocks     []stored // by sector
	size       int64    // of a block with its bitmap
}

// surveyor gathers a survey, and tells of blocks that cannot be.
type surveyor struct {
	m      *meta
	blocks *blockMap
	end    int64 // of the room for blocks
	limit  int64 // bytes of memory
	broken func(error)
}

// maxBroken is how many impossible entries of a table are told of. A forged one
// has them by the million.
const maxBroken = 1 << 12

// survey reads the whole block allocation table.
func (s *surveyor) survey(ctx context.Context) (*survey, error) {
	v := &survey{structures: structures(s.m), size: s.blocks.bitmapSize + s.blocks.blockSize}
	broken := 0
	for i := int64(0); i < s.blocks.entries; i += sliceEntries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, _, err := s.blocks.slice(i)
		if err != nil {
			return nil, err
		}
		for k := int64(0); k < int64(len(p)); k += tableEntrySize {
			e := binary.BigEndian.Uint32(p[k:])
			if e == noBlock {
				continue
			}
			if e == 0 || !ondisk.InRange(int64(e)*sectorSize, v.size, s.end) {
				if broken++; broken > maxBroken {
					return nil, s.place(i+k/tableEntrySize).Corrupt("one of more than %d blocks outside the room for them", maxBroken)
				}
				s.broken(s.place(i+k/tableEntrySize).Corrupt("a block at %#x, outside the room for blocks (%d bytes)", int64(e)*sectorSize, s.end))
				continue
			}
			if int64(len(v.blocks)+1)*8 > s.limit {
				return nil, s.place(i+k/tableEntrySize).TooBig("more than %d blocks", len(v.blocks))
			}
			v.blocks = append(v.blocks, stored{e, uint32(i + k/tableEntrySize)})
		}
	}
	slices.SortFunc(v.blocks, func(a, b stored) int {
		return cmp.Or(cmp.Compare(a.sector, b.sector), cmp.Compare(a.block, b.block))
	})
	return v, nil
}

func (s *surveyor) place(entry int64) ondisk.Place {
	return ondisk.At(layer, "block allocation table", s.blocks.tableOff).In("entry %d", entry)
}

// structures are the claims of all that is not a block.
func structures(m *meta) []claim {
	h := m.header
	out := []claim{
		{off: h.off, end: h.off + headerSize, name: "the header"},
		{off: int64(h.TableOffset), end: int64(h.TableOffset) + int64(h.MaxEntries)*tableEntrySize, name: "the block allocation table"},
	}
	if f := m.footers.copy; f != nil {
		out = append(out, claim{off: 0, end: footerSize, name: "the copy of the footer"})
	}
	if f := m.footers.tail; f != nil {
		out = append(out, claim{off: f.off, end: f.off + int64(len(f.raw)), name: "the footer"})
	}
	for i, l := range h.Locators {
		if m.footer.DiskType == typeDifferencing && l.Length > 0 && l.Length <= maxPath && l.Offset < noBlock*sectorSize {
			out = append(out, claim{off: int64(l.Offset), end: int64(l.Offset) + int64(l.Length), name: fmt.Sprintf("parent locator %d", i)})
		}
	}
	slices.SortFunc(out, func(a, b claim) int { return cmp.Compare(a.off, b.off) })
	return out
}

// each walks all claims by their offset, with the one before that reaches
// furthest.
func (v *survey) each(visit func(before, c claim)) {
	var before claim
	next := func(c claim) {
		visit(before, c)
		if c.end >= before.end {
			before = c
		}
	}
	rest := v.structures
	for _, b := range v.blocks {
		off := int64(b.sector) * sectorSize
		for len(rest) > 0 && rest[0].off <= off {
			next(rest[0])
			rest = rest[1:]
		}
		next(claim{off: off, end: off + v.size, block: int64(b.block)})
	}
	for _, c := range rest {
		next(c)
	}
}

// overlaps tells of what two claim.
func (v *survey) overlaps(broken func(error)) {
	v.each(func(before, c claim) {
		if c.off < before.end {
			broken(ondisk.At(layer, "file", c.off).Corrupt("%v overlaps %v", c, before))
		}
	})
}
