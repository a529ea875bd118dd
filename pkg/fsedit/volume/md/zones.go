package md

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Layouts of RAID 0 with members of several sizes: which member the first chunk of
// a zone lies on. Linux changed it in 3.14 without saying so on the disk.
const (
	zonesOriginal  = 1 // goes on counting from the chunks before
	zonesAlternate = 2 // begins anew with the first member
)

// striped is RAID 0: a zone of all members as far as the smallest goes, then one of
// those that are larger, and so on (drivers/md/raid0.c).
func (a *array) striped() (assembly.Piece, error) {
	if a.chunk <= 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "chunks of %d bytes", a.chunk)
	}
	var zones []assembly.Piece
	var from, total int64
	for {
		left := slices.DeleteFunc(slices.Clone(a.roles), func(m *member) bool { return a.usable(m) <= from })
		if len(left) == 0 {
			break
		}
		if len(zones) == 1 && a.layout != zonesOriginal && a.layout != zonesAlternate {
			return nil, ondisk.Because(ondisk.ErrUnsupported, "its members differ in size, and no layout is recorded")
		}
		to := a.usable(left[0])
		for _, m := range left {
			to = min(to, a.usable(m))
		}
		if a.layout == zonesOriginal {
			first := int(total / a.chunk % int64(len(left)))
			left = append(left[first:], left[:first]...)
		}
		zone, err := a.zone(left, from, to-from)
		if err != nil {
			return nil, err
		}
		var ok bool
		if total, ok = ondisk.AddOK(total, zone.Size()); !ok {
			return nil, ondisk.Because(ondisk.ErrTooBig, "its members are too large together")
		}
		zones, from = append(zones, zone), to
	}
	if len(zones) == 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "its members have no room for a chunk")
	}
	return assembly.Concat(zones...), nil
}

// zone deals the n bytes from off of each member out.
func (a *array) zone(members []*member, off, n int64) (assembly.Piece, error) {
	parts := make([]assembly.Piece, len(members))
	for i, m := range members {
		p, err := m.part(off, n)
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	total, ok := ondisk.MulOK(n, int64(len(parts)))
	if !ok {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d members of %d bytes", len(parts), n)
	}
	return assembly.Stripe(total, a.chunk, 1, parts...)
}
