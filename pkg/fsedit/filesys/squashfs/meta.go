package squashfs

import (
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// unpack reads size bytes at off, which unpack to at most limit.
func (v *volume) unpack(at ondisk.Place, off int64, size int, plain bool, limit int) ([]byte, error) {
	if size <= 0 || !ondisk.InRange(off, int64(size), v.used) || plain && size > limit {
		return nil, at.Corrupt("%d bytes at %#x", size, off)
	}
	src := make([]byte, size)
	if err := ondisk.Full(v.dev, src, off); err != nil {
		return nil, at.Wrap(err)
	}
	if plain {
		return src, nil
	}
	p, err := v.codec(src, limit)
	if err == nil && len(p) > limit {
		err = ondisk.Because(ondisk.ErrCorrupt, "more than %d bytes", limit)
	}
	if err != nil {
		return nil, at.Wrap(codecError(err))
	}
	return p, nil
}

// meta is the content of the metadata block at off, and the place of the next.
// The cache keeps the two bytes of its length behind its content.
func (v *volume) meta(off int64) (p []byte, next int64, err error) {
	at := ondisk.At(layer, "metadata block", off)
	p = v.cache.Get(off)
	if p == nil {
		if !ondisk.InRange(off, 2, v.used) {
			return nil, 0, at.Corrupt("behind the end")
		}
		var h [2]byte
		if err := ondisk.Full(v.dev, h[:], off); err != nil {
			return nil, 0, at.Wrap(err)
		}
		n := le.Uint16(h[:])
		size := int(n &^ plainMeta)
		if p, err = v.unpack(at, off+2, size, n&plainMeta != 0, metaSize); err != nil {
			return nil, 0, err
		}
		p = v.cache.Put(off, append(p, byte(size), byte(size>>8)))
	}
	n := len(p) - 2
	return p[:n], off + 2 + int64(le.Uint16(p[n:])), nil
}

// reader reads through metadata blocks, from one to the next.
type reader struct {
	v     *volume
	block int64  // of rest
	next  int64  // block behind it
	rest  []byte // unread of the block
	pos   int    // of rest in it
}

// ref is the place of something in a table: its metadata block, from the table's
// start on, and the offset in what that unpacks to.
type ref uint64

func (r ref) block() int64 { return int64(r >> 16) }
func (r ref) offset() int  { return int(r & 0xFFFF) }

// at opens a table at a place.
func (v *volume) at(table uint64, r ref) (*reader, error) {
	off, ok := ondisk.AddOK(int64(table), r.block())
	if !ok {
		return nil, ondisk.At(layer, "metadata block", ondisk.NoOffset).Corrupt("place %#x", uint64(r))
	}
	m := &reader{v: v, next: off}
	if err := m.step(); err != nil {
		return nil, err
	}
	if r.offset() > len(m.rest) {
		return nil, m.place().Corrupt("offset %d of %d", r.offset(), len(m.rest))
	}
	m.rest, m.pos = m.rest[r.offset():], r.offset()
	return m, nil
}

// step goes to the next block.
func (m *reader) step() error {
	p, next, err := m.v.meta(m.next)
	if err != nil {
		return err
	}
	m.block, m.next, m.rest, m.pos = m.next, next, p, 0
	if len(p) == 0 {
		return m.place().Corrupt("empty")
	}
	return nil
}

func (m *reader) place() ondisk.Place { return ondisk.At(layer, "metadata block", m.block) }

// fill reads exactly len(p) bytes.
func (m *reader) fill(p []byte) error {
	for len(p) > 0 {
		if len(m.rest) == 0 {
			if err := m.step(); err != nil {
				return err
			}
		}
		n := copy(p, m.rest)
		p, m.rest, m.pos = p[n:], m.rest[n:], m.pos+n
	}
	return nil
}

// take reads n bytes, of which nothing is allocated before it was seen: n is one
// of the format's small numbers.
func (m *reader) take(n int) ([]byte, error) {
	p := make([]byte, n)
	return p, m.fill(p)
}

// entry reads number i of a table of entries of size bytes: packed in metadata
// blocks, the places of which stand from list on.
func (v *volume) entry(list uint64, i, size int64) ([]byte, error) {
	perBlock := metaSize / size
	var p [8]byte
	off, ok := ondisk.AddOK(int64(list), i/perBlock*8)
	if !ok || !ondisk.InRange(off, 8, v.used) {
		return nil, ondisk.At(layer, "table", int64(list)).Corrupt("entry %d is behind the end", i)
	}
	if err := ondisk.Full(v.dev, p[:], off); err != nil {
		return nil, ondisk.At(layer, "table", off).Wrap(err)
	}
	m, err := v.at(0, ref(le.Uint64(p[:])<<16|uint64(i%perBlock*size)))
	if err != nil {
		return nil, err
	}
	return m.take(int(size))
}
