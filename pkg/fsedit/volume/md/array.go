package md

import (
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// member is a device with a superblock.
type member struct {
	*super
	dev   blockdev.Device
	index int // in what Map was given
}

// array is the members of one UUID.
type array struct {
	*super  // of the member with the most events
	members []member
	roles   []*member // by role; nil where none is in sync
	notes   []string
	frozen  bool // nothing may be written
}

// newArray sorts members out: the ones behind the newest superblock are left out.
func newArray(members []member) *array {
	newest := slices.MaxFunc(members, func(a, b member) int {
		switch {
		case a.events < b.events:
			return -1
		case a.events > b.events:
			return 1
		}
		return 0
	})
	a := &array{super: newest.super, members: members, roles: make([]*member, newest.super.members)}
	for i := range members {
		a.admit(&members[i])
	}
	return a
}

// admit gives a member its role. The newest superblock decides; one event behind is
// what a crash leaves, and the kernel takes such a member.
func (a *array) admit(m *member) {
	role, known := a.numbers[m.number]
	switch {
	case m.role < 0:
		a.note("device %d is a spare", m.number)
	case m.events+1 < a.events || !known || role != m.role:
		a.note("device %d (role %d) is out of date and left out", m.number, m.role)
	case m.filling:
		a.note("device %d (role %d) is being filled and left out", m.number, m.role)
	case m.bad && a.level == levelMirror:
		a.note("device %d (role %d) has bad blocks and is left out", m.number, m.role)
		a.frozen = true
	case a.roles[m.role] != nil:
		a.note("there are two devices %d with role %d: neither is written", m.number, m.role)
		a.frozen = true
	default:
		a.roles[m.role] = m
	}
}

func (a *array) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// missing tells of roles without a member. What the array does not know to have
// lost would come back as if it were in sync: nothing is written then.
func (a *array) missing() (n int) {
	for role, m := range a.roles {
		if m != nil {
			continue
		}
		n++
		a.note("member %d of %d is missing", role, len(a.roles))
		if a.active[role] {
			a.frozen = true
		}
	}
	return n
}

// piece puts the array together.
func (a *array) piece() (assembly.Piece, error) {
	if a.reject != "" {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%s", a.reject)
	}
	if len(a.roles) == 0 {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "it has no members of its own")
	}
	missing := a.missing()
	for _, m := range a.roles {
		if m != nil && m.bad {
			return nil, ondisk.Because(ondisk.ErrUnsupported, "member %d has bad blocks", m.role)
		}
	}
	var p assembly.Piece
	var err error
	switch {
	case missing > 0 && (a.level == levelLinear || a.level == levelStripe):
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%d of %d members are missing", missing, len(a.roles))
	case a.level == levelLinear:
		p, err = a.linear()
	case a.level == levelStripe:
		p, err = a.striped()
	case a.level == levelMirror:
		p, err = a.mirrored()
	case a.level == levelTen:
		p, err = a.ten()
	default:
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%s cannot be read", levelName(a.level))
	}
	if err != nil {
		return nil, err
	}
	if a.resync && a.level > 0 {
		a.note("its legs are being made equal: the first one counts")
	}
	if a.frozen {
		p = assembly.ReadOnly(p)
	}
	return p, nil
}

// part is n bytes of the data of a member.
func (m *member) part(off, n int64) (assembly.Piece, error) {
	if !ondisk.InRange(off, n, m.dataLen) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "member %d has %d bytes, %d are wanted", m.role, m.dataLen, off+n)
	}
	return assembly.Part(m.index, m.dev, m.dataOff+off, n)
}

// usable is how much of a member whole chunks take.
func (a *array) usable(m *member) int64 {
	if a.chunk <= 0 {
		return m.dataLen
	}
	return ondisk.AlignDown(m.dataLen, a.chunk)
}

// linear is the members one after the other.
func (a *array) linear() (assembly.Piece, error) {
	var parts []assembly.Piece
	total := int64(0)
	for _, m := range a.roles {
		p, err := m.part(0, a.usable(m))
		if err != nil {
			return nil, err
		}
		var ok bool
		if total, ok = ondisk.AddOK(total, p.Size()); !ok {
			return nil, ondisk.Because(ondisk.ErrTooBig, "its members are too large together")
		}
		parts = append(parts, p)
	}
	return assembly.Concat(parts...), nil
}

// mirrored is each leg with the bytes that the superblock says.
func (a *array) mirrored() (assembly.Piece, error) {
	var legs []assembly.Piece
	for _, m := range a.roles {
		if m == nil {
			continue
		}
		p, err := m.part(0, a.size)
		if err != nil {
			return nil, err
		}
		legs = append(legs, p)
	}
	if len(legs) == 0 {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "no member is in sync")
	}
	return assembly.Mirror(a.size, legs...), nil
}

// ten is RAID 10 with its copies near to each other.
func (a *array) ten() (assembly.Piece, error) {
	near, far, offset := int(a.layout&0xff), int(a.layout>>8&0xff), a.layout>>16 != 0
	if far != 1 || offset || near < 1 {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "RAID 10 of layout %#x (copies far from each other) cannot be read", a.layout)
	}
	if a.chunk <= 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "chunks of %d bytes", a.chunk)
	}
	size := ondisk.AlignDown(a.size, a.chunk)
	positions, ok := ondisk.MulOK(size/a.chunk, int64(len(a.roles)))
	if !ok {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d bytes on %d members", size, len(a.roles))
	}
	total, ok := ondisk.MulOK(positions/int64(near), a.chunk)
	if !ok {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d bytes on %d members", size, len(a.roles))
	}
	pieces := make([]assembly.Piece, len(a.roles))
	for i, m := range a.roles {
		if m == nil {
			continue
		}
		p, err := m.part(0, size)
		if err != nil {
			return nil, err
		}
		pieces[i] = p
	}
	p, err := assembly.Stripe(total, a.chunk, near, pieces...)
	if err != nil {
		return nil, err
	}
	return assembly.ReadOnly(p), nil
}
