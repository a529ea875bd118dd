package xfs

import (
	"bytes"
	"cmp"
	"slices"
	"sort"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

// Owners in the reverse map that are no inodes.
const (
	ownNull   = 1<<64 - 1
	ownFS     = 1<<64 - 3 // headers of the AG
	ownLog    = 1<<64 - 4
	ownAG     = 1<<64 - 5 // trees of free space, reverse map, AGFL
	ownInobt  = 1<<64 - 6
	ownInodes = 1<<64 - 7
	ownRefc   = 1<<64 - 8
	ownCOW    = 1<<64 - 9
	ownFirst  = ownCOW
)

// Flags above the offset of a record.
const (
	rmapAttr      = 1 << 63
	rmapBmbt      = 1 << 62
	rmapUnwritten = 1 << 61
	rmapFlags     = rmapAttr | rmapBmbt | rmapUnwritten
)

// rmap says who owns blocks of an AG, and for what place of a fork.
type rmap struct {
	start, count  uint32
	owner, offset uint64 // offset with flags
}

func decodeRmap(p []byte) rmap {
	return rmap{be.Uint32(p), be.Uint32(p[4:]), be.Uint64(p[8:]), be.Uint64(p[16:])}
}

func (r rmap) append(p []byte) []byte {
	p = be.AppendUint32(p, r.start)
	p = be.AppendUint32(p, r.count)
	p = be.AppendUint64(p, r.owner)
	return be.AppendUint64(p, r.offset)
}

func (r rmap) end() uint32 { return r.start + r.count }

// placed reports whether the offset is one: of an inode, and no block of a map.
func (r rmap) placed() bool { return r.owner < ownFirst && r.offset&rmapBmbt == 0 }

// key is the offset as records are ordered by it.
func (r rmap) key() uint64 { return r.offset &^ rmapUnwritten }

// continues reports whether r goes on where before ends: such records are one.
func (r rmap) continues(before rmap) bool {
	if r.owner != before.owner || r.start != before.end() || (r.offset^before.offset)&rmapFlags != 0 {
		return false
	}
	return !r.placed() || before.offset+uint64(before.count) == r.offset
}

// from is the part of r from its block n on.
func (r rmap) from(n uint32) rmap {
	if r.placed() {
		r.offset += uint64(n)
	}
	r.start, r.count = r.start+n, r.count-n
	return r
}

// byBlock is the order of the tree.
func byBlock(a, b rmap) int {
	return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.owner, b.owner), cmp.Compare(a.key(), b.key()))
}

// byOwner is the order in memory: what may be one record stands side by side, and
// records of one fork do not overlap.
func byOwner(a, b rmap) int {
	return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.key(), b.key()), cmp.Compare(a.start, b.start))
}

// rmaps are records in the order of their owners.
type rmaps []rmap

// ofOwner sorts records, and merges those that are one.
func ofOwner(list []rmap) rmaps {
	slices.SortFunc(list, byOwner)
	out := list[:0]
	for _, r := range list {
		if last := len(out) - 1; last >= 0 && r.continues(out[last]) {
			out[last].count += r.count
		} else {
			out = append(out, r)
		}
	}
	return out
}

// include adds a record.
func (m *rmaps) include(st *stage.Stage, r rmap) {
	i, _ := slices.BinarySearchFunc(*m, r, byOwner)
	j := i
	if i > 0 && r.continues((*m)[i-1]) {
		i--
		n := r.count
		r = (*m)[i]
		r.count += n
	}
	if j < len(*m) && (*m)[j].continues(r) {
		r.count += (*m)[j].count
		j++
	}
	splice(st, m, i, j, r)
}

// exclude takes out what r maps, whether written or not; false when the map has it
// otherwise.
func (m *rmaps) exclude(st *stage.Stage, r rmap) bool {
	for r.count > 0 {
		i := sort.Search(len(*m), func(i int) bool { return byOwner((*m)[i], r) > 0 }) - 1
		if i < 0 || (*m)[i].owner != r.owner {
			return false
		}
		have := (*m)[i]
		skip := uint64(r.start) - uint64(have.start)
		if r.start < have.start || skip >= uint64(have.count) || (have.offset^r.offset)&(rmapAttr|rmapBmbt) != 0 {
			return false
		}
		if r.placed() && have.key()+skip != r.key() {
			return false
		}
		n := min(r.count, have.count-uint32(skip))
		var rest []rmap
		if skip > 0 {
			first := have
			first.count = uint32(skip)
			rest = append(rest, first)
		}
		if after := uint32(skip) + n; after < have.count {
			rest = append(rest, have.from(after))
		}
		splice(st, m, i, i+1, rest...)
		r = r.from(n)
	}
	return true
}

// rmapKeys are the lowest and the highest key that a record stands for.
func rmapKeys(record []byte) (low, high []byte) {
	r := decodeRmap(record)
	key := func(start uint32, offset uint64) []byte {
		p := be.AppendUint32(make([]byte, 0, rmapbt.key), start)
		p = be.AppendUint64(p, r.owner)
		return be.AppendUint64(p, offset)
	}
	last := r.key()
	if r.placed() {
		last += uint64(r.count) - 1
	}
	return key(r.start, r.key()), key(r.start+(r.count-1), last)
}

// rmapOf is the record of what an owner has.
func rmapOf(o owner, logical uint64, e extent) rmap {
	r := rmap{start: e.start, count: e.count, owner: o.ino, offset: logical}
	if o.bmbt {
		r.offset = rmapBmbt
	}
	if o.attr {
		r.offset |= rmapAttr
	}
	return r
}

// encodeRmaps are the records of the tree: those of files and the like, and those
// of what the trees themselves take.
func encodeRmaps(all []rmap) []byte {
	slices.SortFunc(all, byBlock)
	var b bytes.Buffer
	b.Grow(len(all) * rmapbt.record)
	for _, r := range all {
		b.Write(r.append(b.AvailableBuffer()))
	}
	return b.Bytes()
}
