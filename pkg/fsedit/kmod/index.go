package kmod

import (
	"bytes"
	"encoding/binary"
	"iter"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	indexMagic    = 0xB007F457
	indexOldMagic = 0xB007FA57
	indexVersion  = 0x00020001
	indexMajor    = indexVersion >> 16
	indexHeader   = 12

	nodePrefix   = 0x80000000
	nodeValues   = 0x40000000
	nodeChildren = 0x20000000
	nodeOffset   = 0x0FFFFFFF

	// maxKey bounds a key in bytes; the longest aliases have some hundred.
	maxKey = 4096
)

// Value is one answer of an index. Lower priorities come first.
type Value struct {
	Priority uint32
	Text     string
}

// Index is a binary index in memory. The zero value is empty and ready.
type Index struct {
	values map[string][]Value
}

// Insert adds a value behind those of lower priority and before those of equal
// or higher, as depmod does.
func (x *Index) Insert(key, text string, priority uint32) {
	if x.values == nil {
		x.values = map[string][]Value{}
	}
	list := x.values[key]
	at := 0
	for at < len(list) && list[at].Priority < priority {
		at++
	}
	x.values[key] = slices.Insert(list, at, Value{priority, text})
}

// Lookup is the values of exactly this key.
func (x *Index) Lookup(key string) []Value { return x.values[key] }

// Len is the number of keys.
func (x *Index) Len() int { return len(x.values) }

// All are the keys in ascending order with their values.
func (x *Index) All() iter.Seq2[string, []Value] {
	return func(yield func(string, []Value) bool) {
		for _, key := range slices.Sorted(maps.Keys(x.values)) {
			if !yield(key, x.values[key]) {
				return
			}
		}
	}
}

// ParseIndex reads a binary index. Bytes that are none are ondisk.ErrFormat.
func ParseIndex(data []byte, limits ondisk.Limits) (*Index, error) {
	x := &Index{values: map[string][]Value{}}
	err := walkIndex(data, limits, func(key string, values []Value) error {
		if _, twice := x.values[key]; twice {
			return ondisk.Because(ondisk.ErrCorrupt, "key %q occurs twice", key)
		}
		x.values[key] = values
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// walkIndex gives the keys of an index to emit, in ascending order.
func walkIndex(data []byte, limits ondisk.Limits, emit func(string, []Value) error) error {
	at := ondisk.At("kmod", "index", 0)
	limits = limits.OrDefault()
	if int64(len(data)) > limits.Table || len(data) > nodeOffset {
		return at.TooBig("%d bytes", len(data))
	}
	c := ondisk.NewCursor(data, binary.BigEndian)
	magic, version, root := c.U32(), c.U32(), c.U32()
	switch {
	case magic == indexOldMagic:
		return at.In("magic").Unsupported("an index of module-init-tools before 3.5")
	case c.Err() != nil || magic != indexMagic:
		return at.In("magic").Format("no index of modules")
	case version>>16 != indexMajor:
		return at.In("version").Unsupported("version %d.%d", version>>16, version&0xFFFF)
	}
	d := indexDecoder{data: data, emit: emit, seen: make([]bool, len(data)), left: limits.Table}
	return d.node(root, nil)
}

// indexDecoder walks a trie. No two references may lead to one node, so that
// it takes no longer than the file is.
type indexDecoder struct {
	data []byte
	emit func(string, []Value) error
	seen []bool
	left int64 // bytes that keys may still take
}

func (d *indexDecoder) node(ref uint32, key []byte) error {
	if ref&^nodeOffset == 0 {
		return nil // no part, no node
	}
	off := ref & nodeOffset
	at := ondisk.At("kmod", "index node", int64(off))
	if off < indexHeader || int(off) >= len(d.data) {
		return at.Corrupt("lies outside of the file")
	}
	if d.seen[off] {
		return at.Corrupt("belongs to two parents")
	}
	d.seen[off] = true
	c := ondisk.NewCursor(d.data[off:], binary.BigEndian)
	if ref&nodePrefix != 0 {
		key = append(key, cString(c)...)
	}
	if len(key) > maxKey {
		return at.TooBig("key of more than %d bytes", maxKey)
	}
	var first, last byte
	var children *ondisk.Cursor
	if ref&nodeChildren != 0 {
		first, last = c.U8(), c.U8()
		if c.Err() == nil && (last < first || last >= 0x80) {
			return at.In("children").Corrupt("from %#x to %#x", first, last)
		}
		children = c.Sub(4 * (int(last) - int(first) + 1))
	}
	if ref&nodeValues != 0 {
		if err := d.valuesOf(c, string(key)); err != nil {
			return at.In("values").Wrap(err)
		}
	}
	if c.Err() != nil {
		return at.Wrap(c.Err())
	}
	for ch := int(first); children != nil && ch <= int(last); ch++ {
		if child := children.U32(); child != 0 {
			if err := d.node(child, append(key[:len(key):len(key)], byte(ch))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *indexDecoder) valuesOf(c *ondisk.Cursor, key string) error {
	n := c.U32()
	if int64(n)*5 > int64(c.Len()) {
		return ondisk.Because(ondisk.ErrCorrupt, "%d of them do not fit", n)
	}
	if d.left -= int64(len(key)); d.left < 0 {
		return ondisk.Because(ondisk.ErrTooBig, "keys take more memory than the limit")
	}
	list := make([]Value, 0, n)
	for range n {
		v := Value{Priority: c.U32()}
		v.Text = string(cString(c))
		list = append(list, v)
	}
	if c.Err() != nil || len(list) == 0 {
		return c.Err()
	}
	return d.emit(key, list)
}

// cString takes the characters up to a NUL, and the NUL.
func cString(c *ondisk.Cursor) []byte {
	rest := *c
	all := rest.Bytes(rest.Len())
	n := bytes.IndexByte(all, 0)
	if n < 0 {
		n = len(all) // the NUL is then missed below
	}
	p := c.Bytes(n)
	c.Skip(1)
	return p
}
