package ondisk

import "encoding/binary"

// Cursor eats a byte slice from the front. The first read past the end makes
// it fail for good: reads then give zeros, and [Cursor.Err] tells. Check once
// at the end. A nested length gets its own cursor by [Cursor.Sub], so that a
// child cannot read past its parent.
type Cursor struct {
	buf   []byte
	pos   int
	order binary.ByteOrder
	err   error
}

func NewCursor(buf []byte, order binary.ByteOrder) *Cursor {
	return &Cursor{buf: buf, order: order}
}

// Bytes takes the next n bytes; the slice aliases the cursor's.
func (c *Cursor) Bytes(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.buf)-c.pos {
		c.err = Because(ErrCorrupt, "ends early: %d bytes wanted at %#x of %#x", n, c.pos, len(c.buf))
		return nil
	}
	p := c.buf[c.pos : c.pos+n : c.pos+n]
	c.pos += n
	return p
}

func (c *Cursor) Skip(n int) { c.Bytes(n) }

func (c *Cursor) U8() uint8 {
	if p := c.Bytes(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *Cursor) U16() uint16 {
	if p := c.Bytes(2); p != nil {
		return c.order.Uint16(p)
	}
	return 0
}

func (c *Cursor) U32() uint32 {
	if p := c.Bytes(4); p != nil {
		return c.order.Uint32(p)
	}
	return 0
}

func (c *Cursor) U64() uint64 {
	if p := c.Bytes(8); p != nil {
		return c.order.Uint64(p)
	}
	return 0
}

// Sub takes the next n bytes as a cursor of their own.
func (c *Cursor) Sub(n int) *Cursor {
	return &Cursor{buf: c.Bytes(n), order: c.order, err: c.err}
}

// Align skips to the next multiple of n from the cursor's start.
func (c *Cursor) Align(n int) {
	if r := c.pos % n; r != 0 {
		c.Skip(n - r)
	}
}

func (c *Cursor) Pos() int   { return c.pos }
func (c *Cursor) Len() int   { return len(c.buf) - c.pos }
func (c *Cursor) Err() error { return c.err }
