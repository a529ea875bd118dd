package lvm

import (
	"encoding/binary"
	"math"

	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// raidMagic begins the superblock of dm-raid: "DmRd".
const raidMagic = 0x64526d44

// raidSuper begins the metadata volume of a leg; drivers/md/dm-raid.c.
type raidSuper struct {
	Magic           uint32 // 0
	Compat          uint32 // 4
	Members         uint32 // 8
	Position        uint32 // 12
	Events          uint64 // 16
	Failed          uint64 // 24: a bit for each member
	RecoveryOffset  uint64 // 32: sectors that are good; all ones when all are
	ResyncOffset    uint64 // 40
	Level           int32  // 48
	Layout          int32  // 52
	StripeSectors   uint32 // 56
	Flags           uint32 // 60
	NewLevel        int32  // 64
	NewLayout       int32  // 68
	NewStripe       uint32 // 72
	Delta           int32  // 76
	ReshapePosition uint64 // 80
}

// reshaping is the flag of an array that is being turned into another.
const reshaping = 1

// leg is a member of a RAID 1.
type leg struct {
	piece assembly.Piece
	super raidSuper // zero when it was never started
	err   error     // why it is not there
}

// raid1 is the legs that are as new as the newest. One that the array knows to
// have lost is left out; one that it does not know to be gone makes it read only.
func (r *resolver) raid1(s segment, n int64) (assembly.Piece, error) {
	if err := s.settled(); err != nil {
		return nil, err
	}
	metadata, data, err := s.images()
	if err != nil {
		return nil, err
	}
	legs := make([]leg, len(data))
	var newest raidSuper
	for i := range legs {
		if legs[i], err = r.leg(metadata[i], data[i], n); err != nil {
			return nil, err
		}
		if legs[i].err == nil && legs[i].super.Events > newest.Events {
			newest = legs[i].super
		}
	}
	if newest.Flags&reshaping != 0 {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "it is being reshaped")
	}
	var good []assembly.Piece
	var first error
	unknown := false
	for i, l := range legs {
		failed := i < 64 && newest.Failed&(1<<i) != 0
		switch {
		case l.err != nil:
			first = l.err
			unknown = unknown || !failed
			r.note("leg %d of %d is missing", i, len(legs))
		case failed || l.super.Events+1 < newest.Events || l.filling(newest):
			r.note("leg %d of %d is out of date and left out", i, len(legs))
		default:
			good = append(good, l.piece)
		}
	}
	if len(good) == 0 {
		if first == nil {
			first = ondisk.Because(ondisk.ErrCorrupt, "no leg is in sync")
		}
		return nil, first
	}
	m := assembly.Mirror(n, good...)
	if unknown {
		return assembly.ReadOnly(m), nil
	}
	return m, nil
}

// filling reports whether the leg has not yet got everything from the others.
func (l leg) filling(newest raidSuper) bool {
	return newest.Magic == raidMagic && (l.super.Magic != raidMagic || l.super.RecoveryOffset != math.MaxUint64)
}

// leg makes the pieces of one leg. What is missing is part of it; the error is a
// disk that cannot be read.
func (r *resolver) leg(metadata, data string, n int64) (leg, error) {
	var l leg
	if l.piece, l.err = r.volume(data); l.err == nil {
		l.piece, l.err = assembly.Slice(l.piece, 0, n)
	}
	if l.err != nil {
		return l, nil
	}
	meta, err := r.volume(metadata)
	if err != nil {
		l.err = err
		return l, nil
	}
	p, err := ondisk.Bytes(assembly.Device(meta), 0, sector)
	if err != nil {
		return l, err
	}
	var super raidSuper
	if _, err := binary.Decode(p, le, &super); err != nil {
		return l, err
	}
	if super.Magic == raidMagic {
		l.super = super
	}
	return l, nil
}
