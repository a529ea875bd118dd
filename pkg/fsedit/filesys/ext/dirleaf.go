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

// slot is a place in a leaf: an entry, or unused room when ino is 0.
type slot struct {
	off, recLen int
	leafEntry
}

// used is how much of the slot its entry needs.
func (s slot) used() int {
	if s.ino == 0 {
		return 0
	}
	return direntSize(len(s.name))
}

// slots decodes a leaf. Entries must tile it exactly.
func (l leaf) slots() ([]slot, error) {
	var out []slot
	for off := 0; off < len(l.b); {
		if len(l.b)-off < direntHeader {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "entry at %d: cut off", off)
		}
		h := l.b[off:]
		n, nameLen := recLen(le.Uint16(h[4:]), l.bs), int(h[6])
		if n < direntSize(nameLen) && le.Uint32(h) != 0 || n < direntHeader || n%4 != 0 || n > len(h) {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "entry at %d: length %d of %d", off, n, len(h))
		}
		s := slot{off: off, recLen: n}
		if s.ino = le.Uint32(h); s.ino != 0 {
			s.typ, s.name = h[7], string(h[direntHeader:direntHeader+nameLen])
		}
		out = append(out, s)
		off += n
	}
	return out, nil
}

// find returns the slot of a name.
func (l leaf) find(name string) (slot, bool, error) {
	ss, err := l.slots()
	if err != nil {
		return slot{}, false, err
	}
	for _, s := range ss {
		if s.ino != 0 && s.name == name {
			return s, true, nil
		}
	}
	return slot{}, false, nil
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
	ss, err := l.slots()
	if err != nil {
		return false, err
	}
	need := direntSize(len(e.name))
	for _, s := range ss {
		used := s.used()
		if s.recLen-used < need {
			continue
		}
		if used > 0 {
			putRecLen(l.b[s.off:], used, l.bs)
		}
		l.write(s.off+used, s.recLen-used, e)
		return true, nil
	}
	return false, nil
}

// remove gives the room of the entry at off to the one before it.
func (l leaf) remove(off int) error {
	ss, err := l.slots()
	if err != nil {
		return err
	}
	for i, s := range ss {
		if s.off != off {
			continue
		}
		if i == 0 {
			le.PutUint32(l.b[off:], 0)
			return nil
		}
		putRecLen(l.b[ss[i-1].off:], ss[i-1].recLen+s.recLen, l.bs)
		return nil
	}
	return ondisk.Because(ondisk.ErrCorrupt, "no entry at %d", off)
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
