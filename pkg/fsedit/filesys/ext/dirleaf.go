package ext

import (
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// leafEntry is one name in a directory block.
type leafEntry struct {
	ino  uint32
	typ  uint8
	name string
}

// direntSize is the room that a name needs.
func direntSize(nameLen int) int { return (direntHeader + nameLen + 3) &^ 3 }

// recLen decodes rec_len, which cannot count to 64 KiB plainly.
func recLen(raw uint16, blockSize int) int {
	switch {
	case blockSize < 1<<16:
		return int(raw)
	case raw == 0xFFFF || raw == 0:
		return blockSize
	}
	return int(raw&0xFFFC) | int(raw&3)<<16
}

func putRecLen(dst []byte, n, blockSize int) {
	if n == 1<<16 {
		n = 0xFFFF
	}
	le.PutUint16(dst[4:], uint16(n))
}

// leaf is a directory block without its checksum tail; bs is the full block.
type leaf struct {
	b  []byte
	bs int
}

// slot is a place in a leaf: an entry, or unused room when ino is 0. name is a
// part of the block.
type slot struct {
	off, recLen int
	ino         uint32
	typ         uint8
	name        []byte
}

// used is how much of the slot its entry needs.
func (s slot) used() int {
	if s.ino == 0 {
		return 0
	}
	return direntSize(len(s.name))
}

// at decodes the slot at off, which must fit the leaf.
func (l leaf) at(off int) (slot, error) {
	if len(l.b)-off < direntHeader {
		return slot{}, ondisk.Because(ondisk.ErrCorrupt, "entry at %d: cut off", off)
	}
	h := l.b[off:]
	n, nameLen := recLen(le.Uint16(h[4:]), l.bs), int(h[6])
	s := slot{off: off, recLen: n, ino: le.Uint32(h)}
	if n < direntHeader || n%4 != 0 || n > len(h) || s.ino != 0 && n < direntSize(nameLen) {
		return slot{}, ondisk.Because(ondisk.ErrCorrupt, "entry at %d: length %d of %d", off, n, len(h))
	}
	if s.ino != 0 {
		s.typ, s.name = h[7], h[direntHeader:direntHeader+nameLen]
	}
	return s, nil
}

// slots calls visit for each slot until it says stop. Slots must tile the leaf
// exactly.
func (l leaf) slots(visit func(slot) (stop bool)) error {
	for off := 0; off < len(l.b); {
		s, err := l.at(off)
		if err != nil {
			return err
		}
		if visit(s) {
			return nil
		}
		off += s.recLen
	}
	return nil
}

// find returns the slot of a name; its ino is 0 when there is none.
func (l leaf) find(name string) (found slot, err error) {
	err = l.slots(func(s slot) bool {
		if s.ino != 0 && string(s.name) == name {
			found = s
		}
		return found.ino != 0
	})
	return found, err
}

// write stores an entry with the given length at off, unused bytes cleared.
func (l leaf) write(off, n int, e leafEntry) {
	h := l.b[off : off+n]
	clear(h[:max(direntHeader, direntSize(len(e.name)))])
	le.PutUint32(h, e.ino)
	putRecLen(h, n, l.bs)
	h[6], h[7] = uint8(len(e.name)), e.typ
	copy(h[direntHeader:], e.name)
}

// insert puts e where there is room; false when there is none.
func (l leaf) insert(e leafEntry) (bool, error) {
	need, done := direntSize(len(e.name)), false
	err := l.slots(func(s slot) bool {
		used := s.used()
		if s.recLen-used < need {
			return false
		}
		if used > 0 {
			putRecLen(l.b[s.off:], used, l.bs)
		}
		l.write(s.off+used, s.recLen-used, e)
		done = true
		return true
	})
	return done, err
}

// remove gives the room of the entry at off to the one before it.
func (l leaf) remove(off int) error {
	before, found := slot{recLen: -1}, slot{recLen: -1}
	err := l.slots(func(s slot) bool {
		if s.off == off {
			found = s
			return true
		}
		before = s
		return false
	})
	switch {
	case err != nil:
		return err
	case found.recLen < 0:
		return ondisk.Because(ondisk.ErrCorrupt, "no entry at %d", off)
	case before.recLen < 0:
		le.PutUint32(l.b[off:], 0)
	default:
		putRecLen(l.b[before.off:], before.recLen+found.recLen, l.bs)
	}
	return nil
}

// pack fills an empty leaf; the last entry takes what is left.
func (l leaf) pack(entries []leafEntry) {
	clear(l.b)
	if len(entries) == 0 {
		putRecLen(l.b, len(l.b), l.bs)
		return
	}
	off := 0
	for i, e := range entries {
		n := direntSize(len(e.name))
		if i == len(entries)-1 {
			n = len(l.b) - off
		}
		l.write(off, n, e)
		off += n
	}
}
