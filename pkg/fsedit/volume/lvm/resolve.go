package lvm

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxNesting bounds how deep logical volumes lie on others: real ones have five
// levels, a thin volume on a cached pool of mirrors.
const maxNesting = 16

// resolver makes pieces of the logical volumes of one group.
type resolver struct {
	*group
	limits ondisk.Limits
	made   map[string]resolved
	pools  map[string]*thinPool
	stack  []string // volumes that are being made
	inPool bool     // making what a thin pool lies on
	notes  []string
}

type resolved struct {
	piece assembly.Piece
	err   error
}

// volume makes the piece of a logical volume, once.
func (r *resolver) volume(name string) (assembly.Piece, error) {
	if done, ok := r.made[name]; ok {
		return done.piece, done.err
	}
	lv := r.lvs[name]
	if lv == nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "there is no volume %q", name)
	}
	if len(r.stack) >= maxNesting {
		return nil, ondisk.Because(ondisk.ErrTooBig, "volumes lie on each other more than %d deep", maxNesting)
	}
	for _, s := range r.stack {
		if s == name {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "volume %q lies on itself", name)
		}
	}
	r.stack = append(r.stack, name)
	p, err := r.make(lv)
	r.stack = r.stack[:len(r.stack)-1]
	r.made[name] = resolved{p, err}
	return p, err
}

func (r *resolver) make(lv *logical) (assembly.Piece, error) {
	if n := lv.extents * r.extent; n > r.limits.VirtualSize {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d bytes, more than %d", n, r.limits.VirtualSize)
	}
	var pieces []assembly.Piece
	for i, s := range lv.segments {
		p, err := r.segment(lv, s)
		if err != nil {
			return nil, fmt.Errorf("segment %d (%s): %w", i+1, s.config.string("type"), err)
		}
		pieces = append(pieces, p)
	}
	if len(pieces) == 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "it has no segments")
	}
	return assembly.Concat(pieces...), nil
}

// segment makes the piece of a segment, which is as long as its extents.
func (r *resolver) segment(lv *logical, s segment) (assembly.Piece, error) {
	n := s.extents * r.extent
	k := kinds[s.kind]
	if len(lv.segments) > 1 && k != striped && k != zeros && k != mirrored {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "it is one of %d segments", len(lv.segments))
	}
	switch k {
	case striped:
		return r.striped(s, n)
	case zeros:
		return assembly.Opaque(blockdev.Zeros(n)), nil
	case mirrored:
		return r.mirrored(s, n)
	case raid:
		return r.raid1(s, n)
	case raid0, raid10:
		return r.stripedImages(s, n, k == raid10)
	case thin:
		return r.thin(s, n)
	case cached:
		return r.cached(s, n)
	case pool:
		return nil, ondisk.Because(ondisk.ErrUnsupported, "it holds other volumes")
	}
	return nil, ondisk.Because(ondisk.ErrUnsupported, "volumes of this type cannot be read")
}

// area is the piece of a run of extents of a physical or logical volume.
func (r *resolver) area(a areaRef) (assembly.Piece, error) {
	off, n := a.start*r.extent, a.n*r.extent
	if m := r.pvs[a.target]; m != nil {
		if m.device == nil {
			return nil, ondisk.Because(ondisk.ErrUnsupported, "it needs physical volume %s, which is missing", dashedID(m.id))
		}
		return assembly.Part(m.device.index, m.device.dev, m.start+off, n)
	}
	p, err := r.volume(a.target)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", a.target, err)
	}
	return assembly.Slice(p, off, n)
}

func (r *resolver) striped(s segment, n int64) (assembly.Piece, error) {
	refs, err := s.stripes()
	if err != nil {
		return nil, err
	}
	pieces := make([]assembly.Piece, len(refs))
	for i, a := range refs {
		if pieces[i], err = r.area(a); err != nil {
			return nil, err
		}
	}
	if len(pieces) == 1 {
		return pieces[0], nil
	}
	chunk, err := bytesOf(s.config.number("stripe_size"), sector)
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "stripe_size is wrong")
	}
	return assembly.Stripe(n, chunk, 1, pieces...)
}

// mirrored reads the first leg, which is right even while the others are being
// filled; another one stands in for it when it is missing.
func (r *resolver) mirrored(s segment, n int64) (assembly.Piece, error) {
	refs, err := s.refs("mirrors", s.extents)
	if err != nil {
		return nil, err
	}
	var legs []assembly.Piece
	var first error
	for _, a := range refs {
		leg, err := r.area(a)
		if err == nil {
			legs = append(legs, leg)
		} else if first == nil {
			first = err
		}
	}
	if len(legs) == 0 {
		return nil, first
	}
	m := assembly.Mirror(n, legs...)
	if first != nil {
		r.note("mirror with a leg missing: %v", first)
		return assembly.ReadOnly(m), nil
	}
	return m, nil
}

// stripedImages is RAID 0, or RAID 10 with two copies side by side.
func (r *resolver) stripedImages(s segment, n int64, mirrored bool) (assembly.Piece, error) {
	if err := s.settled(); err != nil {
		return nil, err
	}
	_, names, err := s.images()
	if err != nil {
		return nil, err
	}
	chunk, err := bytesOf(s.config.number("stripe_size"), sector)
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "stripe_size is wrong")
	}
	pieces := make([]assembly.Piece, len(names))
	for i, name := range names {
		if pieces[i], err = r.volume(name); err != nil {
			return nil, fmt.Errorf("on %s: %w", name, err)
		}
	}
	if !mirrored {
		return assembly.Stripe(n, chunk, 1, pieces...)
	}
	p, err := assembly.Stripe(n, chunk, int(min(s.config.numberOr("data_copies", 2), 64)), pieces...)
	if err != nil {
		return nil, err
	}
	return assembly.ReadOnly(p), nil
}

// settled refuses a RAID that is being turned into another.
func (s segment) settled() error {
	for _, name := range []string{"data_offset", "reshape_count", "delta_disks"} {
		if s.config.numberOr(name, 0) != 0 {
			return ondisk.Because(ondisk.ErrUnsupported, "it is being reshaped (%s)", name)
		}
	}
	return nil
}

// cached is the volume behind a cache that keeps nothing to itself. Nothing may be
// written behind its back.
func (r *resolver) cached(s segment, n int64) (assembly.Piece, error) {
	mode := s.config.string("cache_mode")
	if from := s.config.string("cache_pool"); mode == "" && r.lvs[from] != nil {
		for _, p := range r.lvs[from].segments {
			mode = p.config.string("cache_mode")
		}
	}
	if mode != "writethrough" && mode != "passthrough" {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "its cache (mode %q) may hold what the volume does not", mode)
	}
	origin := s.config.string("origin")
	p, err := r.volume(origin)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", origin, err)
	}
	if p, err = assembly.Slice(p, 0, n); err != nil {
		return nil, err
	}
	return assembly.ReadOnly(p), nil
}

// note is told about the volume that is being made for the user.
func (r *resolver) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}
