package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// dirBlock is a verified block of entries.
type dirBlock struct {
	raw   []byte
	start int // of the entries
	end   int // of the entries: the index of a single block follows
	leafs int // entries of that index; -1 for a block without one
	at    ondisk.Place
}

// dirBlock reads block nr of a directory. A hole is corrupt.
func (v *volume) dirBlock(in *inode, m mapper, nr uint64) (*dirBlock, error) {
	raw, off, err := v.readRun(m, nr<<v.dirBits, 1<<v.dirBits)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, in.at().Corrupt("directory block %d is a hole", nr)
	}
	b := &dirBlock{raw: raw, start: dirDataHeader4, end: len(raw), leafs: -1}
	b.at = ondisk.At(layer, "directory block", off).In("inode %d", in.num)
	block, data := uint32(dirBlockMagic4), uint32(dirDataMagic4)
	if v.v5() {
		block, data, b.start = dirBlockMagic5, dirDataMagic5, dirDataHeader5
	}
	switch magic := be.Uint32(raw); {
	case magic == block && nr == 0:
		tail := len(raw) - dirBlockTail
		b.leafs = int(min(be.Uint32(raw[tail:]), 1<<24))
		b.end = tail - b.leafs*dirLeafEntry
		if b.end < b.start {
			return nil, b.at.Corrupt("an index of %d entries in %d bytes", b.leafs, len(raw))
		}
	case magic != data:
		return nil, b.at.Corrupt("magic %#08x", magic)
	}
	if v.v5() {
		err = dirStamp.verify(raw, v.uuid, off, in.num, b.at)
	}
	return b, err
}

// eachInBlock calls f for the entries that, with unused room, tile a block;
// false when f said stop.
func (v *volume) eachInBlock(b *dirBlock, f func(dirent) bool) (bool, error) {
	for off := b.start; off < b.end; {
		if b.end-off >= 4 && be.Uint16(b.raw[off:]) == dirFreeTag {
			n := int(be.Uint16(b.raw[off+2:]))
			if n < 8 || n%8 != 0 || n > b.end-off {
				return false, b.at.Corrupt("unused room of %d bytes at %#x", n, off)
			}
			off += n
			continue
		}
		d, n, err := v.direntAt(b, off)
		if err != nil {
			return false, err
		}
		if off += n; !f(d) {
			return false, nil
		}
	}
	return true, nil
}

// direntAt decodes the entry at off: inode, length of the name, name, type,
// and its own offset in the last two bytes of the eight that it is rounded up to.
func (v *volume) direntAt(b *dirBlock, off int) (d dirent, n int, err error) {
	const header = 9
	if b.end-off < header {
		return d, 0, b.at.Corrupt("an entry is cut off at %#x", off)
	}
	p := b.raw[off:b.end]
	nameLen := int(p[8])
	n = header + nameLen
	if v.fileTypes() {
		n++
	}
	n = (n + 2 + 7) &^ 7
	if n > len(p) {
		return d, 0, b.at.Corrupt("the entry at %#x is cut off", off)
	}
	d = dirent{ino: be.Uint64(p), name: p[header:][:nameLen:nameLen]}
	if v.fileTypes() {
		d.kind = p[header+nameLen]
	}
	if tag := int(be.Uint16(p[n-2:])); tag != off {
		return d, 0, b.at.Corrupt("the entry at %#x says that it is at %#x", off, tag)
	}
	return d, n, v.checkName(d, b.at)
}
