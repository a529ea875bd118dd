package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// agHeader reads sector nr of an AG.
func (v *volume) agHeader(ag uint32, nr int64, name string) ([]byte, ondisk.Place, error) {
	off := v.agSector(ag, nr)
	at := ondisk.At(layer, name, off).In("group %d", ag)
	if int64(v.agSize(ag))<<v.blockBits < (nr+1)*v.sectorSize {
		return nil, at, at.Corrupt("the group is too small")
	}
	p, err := ondisk.Bytes(v.dev, off, v.sectorSize)
	return p, at, at.Wrap(err)
}

// checkHeader verifies what AGF and AGI begin with.
func (v *volume) checkHeader(p []byte, magic, ag uint32, s stamp, at ondisk.Place) error {
	switch {
	case be.Uint32(p) != magic:
		return at.Corrupt("magic %#08x", be.Uint32(p))
	case be.Uint32(p[4:]) != agHeaderVersion:
		return at.Corrupt("version %d", be.Uint32(p[4:]))
	case be.Uint32(p[8:]) != ag || be.Uint32(p[12:]) != v.agSize(ag):
		return at.Corrupt("it is of group %d with %d blocks, not of %d with %d", be.Uint32(p[8:]), be.Uint32(p[12:]), ag, v.agSize(ag))
	case v.v5():
		return s.verify(p, v.uuid, 0, 0, at)
	}
	return nil
}

// agf reads the header of an AG's free space.
func (v *volume) agf(ag uint32) (agf, ondisk.Place, error) {
	p, at, err := v.agHeader(ag, agfSector, "AGF")
	if err != nil {
		return agf{}, at, err
	}
	if err := v.checkHeader(p, agfMagic, ag, agfStamp, at); err != nil {
		return agf{}, at, err
	}
	f, err := decode[agf](p)
	return f, at, at.Wrap(err)
}

// agi reads the header of an AG's inodes.
func (v *volume) agi(ag uint32) (agi, ondisk.Place, error) {
	p, at, err := v.agHeader(ag, agiSector, "AGI")
	if err != nil {
		return agi{}, at, err
	}
	if err := v.checkHeader(p, agiMagic, ag, agiStamp, at); err != nil {
		return agi{}, at, err
	}
	i, err := decode[agi](p)
	return i, at, at.Wrap(err)
}

// agfl lists the blocks that an AG keeps for its own B-trees: a ring in one
// sector, from first to last.
func (v *volume) agfl(ag uint32, f agf) ([]uint32, error) {
	p, at, err := v.agHeader(ag, agflSector, "AGFL")
	if err != nil {
		return nil, err
	}
	slots := p
	if v.v5() {
		if be.Uint32(p) != agflMagic || be.Uint32(p[4:]) != ag {
			return nil, at.Corrupt("magic %#08x of group %d", be.Uint32(p), be.Uint32(p[4:]))
		}
		if err := agflStamp.verify(p, v.uuid, 0, 0, at); err != nil {
			return nil, err
		}
		slots = p[agflHeader5:]
	}
	size := uint32(len(slots) / 4)
	if f.FLFirst >= size || f.FLLast >= size || f.FLCount > size {
		return nil, at.Corrupt("%d blocks from slot %d to %d of %d", f.FLCount, f.FLFirst, f.FLLast, size)
	}
	if f.FLCount > 0 && (f.FLFirst+f.FLCount-1)%size != f.FLLast {
		return nil, at.Corrupt("%d blocks from slot %d to %d", f.FLCount, f.FLFirst, f.FLLast)
	}
	var out []uint32
	for i := range f.FLCount {
		nr := be.Uint32(slots[(f.FLFirst+i)%size*4:])
		if nr >= v.agSize(ag) {
			return nil, at.Corrupt("block %d is outside the group", nr)
		}
		out = append(out, nr)
	}
	return out, nil
}

// counters are the sums that the superblock keeps of all AGs.
type counters struct{ inodes, freeInodes, freeBlocks uint64 }

// counts sums up what the headers of the AGs say. The blocks of the AGFL and of
// the free space trees count as free, since freeing space may free them.
func (v *volume) counts() (counters, error) {
	var c counters
	for ag := range v.agCount {
		f, _, err := v.agf(ag)
		if err != nil {
			return c, err
		}
		i, _, err := v.agi(ag)
		if err != nil {
			return c, err
		}
		c.freeBlocks += uint64(f.FreeBlks) + uint64(f.FLCount) + uint64(f.BtreeBlks)
		c.inodes += uint64(i.Count)
		c.freeInodes += uint64(i.FreeCount)
	}
	return c, nil
}

// orphans reports whether an AG lists files that were deleted while open.
func (v *volume) orphans() (bool, error) {
	for ag := range v.agCount {
		i, _, err := v.agi(ag)
		if err != nil {
			return false, err
		}
		for _, head := range i.Unlinked {
			if head != nullAGIno {
				return true, nil
			}
		}
	}
	return false, nil
}
