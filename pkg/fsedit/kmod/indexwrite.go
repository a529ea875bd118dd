package kmod

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Encode writes the index with children before their parents, byte for byte
// as depmod of kmod 30 does. A key with a character beyond 7 bits, or with a
// NUL, is ondisk.ErrUnsupported.
func (x *Index) Encode() ([]byte, error) {
	keys := slices.Sorted(maps.Keys(x.values))
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	e := indexEncoder{values: x.values}
	for _, v := range []uint32{indexMagic, indexVersion, 0} {
		e.out = binary.BigEndian.AppendUint32(e.out, v)
	}
	root := e.node(keys, 0, "")
	if len(e.out) > nodeOffset {
		return nil, ondisk.At("kmod", "index", 0).TooBig("%d bytes do not fit an index", len(e.out))
	}
	binary.BigEndian.PutUint32(e.out[8:], root)
	return e.out, nil
}

func checkKey(key string) error {
	at := ondisk.At("kmod", "index", ondisk.NoOffset).In("key %q", key)
	if len(key) > maxKey {
		return at.TooBig("%d bytes", len(key))
	}
	for i := range len(key) {
		if key[i] == 0 || key[i] >= 0x80 {
			return at.Unsupported("a character that an index cannot hold")
		}
	}
	return nil
}

type indexEncoder struct {
	values map[string][]Value
	out    []byte
}

// node writes the trie of sorted keys, which agree in their first depth
// characters and the prefix behind them; it returns the node's reference.
func (e *indexEncoder) node(keys []string, depth int, prefix string) uint32 {
	depth += len(prefix)
	var values []Value
	if len(keys) > 0 && len(keys[0]) == depth {
		values = e.values[keys[0]]
		keys = keys[1:]
	}
	children := e.children(keys, depth)
	ref := uint32(len(e.out))
	if prefix != "" {
		ref |= nodePrefix
		e.out = append(append(e.out, prefix...), 0)
	}
	if len(keys) > 0 {
		ref |= nodeChildren
		e.out = append(e.out, keys[0][depth], keys[len(keys)-1][depth])
		for _, child := range children {
			e.out = binary.BigEndian.AppendUint32(e.out, child)
		}
	}
	if len(values) > 0 {
		ref |= nodeValues
		e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(values)))
		for _, v := range values {
			e.out = binary.BigEndian.AppendUint32(e.out, v.Priority)
			e.out = append(append(e.out, v.Text...), 0)
		}
	}
	return ref
}

// children writes the nodes below and returns their references, one for each
// character from the first key's to the last's.
func (e *indexEncoder) children(keys []string, depth int) []uint32 {
	if len(keys) == 0 {
		return nil
	}
	first := keys[0][depth]
	refs := make([]uint32, int(keys[len(keys)-1][depth])-int(first)+1)
	for len(keys) > 0 {
		ch := keys[0][depth]
		n := 1
		for n < len(keys) && keys[n][depth] == ch {
			n++
		}
		refs[ch-first] = e.node(keys[:n], depth+1, common(keys[0][depth+1:], keys[n-1][depth+1:]))
		keys = keys[n:]
	}
	return refs
}

// common is the longest common prefix.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
