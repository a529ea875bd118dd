package ext

import (
	"bytes"
	"cmp"
	"slices"
)

// xattrSize is the room that an attribute takes: entry and name, and value.
func xattrSize(x xattr) (entry, value int) {
	entry = xattrEntrySize + (len(x.name)+3)&^3
	if x.inum == 0 {
		value = (len(x.value) + 3) &^ 3
	}
	return entry, value
}

// xattrsFit reports whether attributes and the end mark fit n bytes.
func xattrsFit(xs []xattr, n int) bool {
	n -= 4
	for _, x := range xs {
		entry, value := xattrSize(x)
		n -= entry + value
	}
	return n >= 0
}

// packXattrs writes entries from byte first of area on, in the order that the
// kernel searches by, and values from its end down. They fit.
func packXattrs(area []byte, first int, xs []xattr) {
	slices.SortFunc(xs, func(a, b xattr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	clear(area[first:])
	pos, end := first, len(area)
	for _, x := range xs {
		entry, value := xattrSize(x)
		p := area[pos:]
		p[0], p[1] = uint8(len(x.name)), x.index
		le.PutUint32(p[4:], x.inum)
		le.PutUint32(p[8:], uint32(len(x.value)))
		le.PutUint32(p[12:], x.hash)
		copy(p[xattrEntrySize:], x.name)
		if value > 0 {
			end -= value
			le.PutUint16(p[2:], uint16(end))
			copy(area[end:], x.value)
		}
		pos += entry
	}
}

// xattrHash is e_hash of an entry: over the name, then the words of the value.
func xattrHash(name string, value []byte) uint32 {
	var h uint32
	for i := range len(name) {
		h = h<<5 ^ h>>27 ^ uint32(name[i])
	}
	padded := append(bytes.Clone(value), make([]byte, -len(value)&3)...)
	for ; len(padded) > 0; padded = padded[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(padded)
	}
	return h
}

// xattrBlockHash is h_hash of a block: over its entries; 0 when one has none.
func xattrBlockHash(xs []xattr) uint32 {
	var h uint32
	for _, x := range xs {
		if x.hash == 0 {
			return 0
		}
		h = h<<16 ^ h>>16 ^ x.hash
	}
	return h
}
