package squashfs

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// prefixes of the names of xattrs, by their type.
var prefixes = [...]string{"user.", "trusted.", "security."}

const (
	elsewhere = 0x100   // in the type: the value is the place of the value
	maxXattrs = 1 << 16 // of one inode, in bytes and in number: XATTR_LIST_MAX of Linux
)

func (v tree) Xattrs(n filesys.Node) (map[string][]byte, error) {
	i, err := v.inode(n)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	if i.xattrs == noIndex || v.super.XattrTable == noTable {
		return out, nil
	}
	at := ondisk.At(layer, "xattr table", int64(v.super.XattrTable)).In("%d", i.xattrs)
	h, err := ondisk.Read[xattrHead](v.dev, int64(v.super.XattrTable), le)
	if err != nil {
		return nil, at.Wrap(err)
	}
	if i.xattrs >= h.Count || h.Start >= uint64(v.used) {
		return nil, at.Corrupt("of %d sets that begin at %#x", h.Count, h.Start)
	}
	p, err := v.entry(v.super.XattrTable+xattrHeadSize, int64(i.xattrs), xattrIDSize)
	if err != nil {
		return nil, err
	}
	var id xattrID
	if _, err := binary.Decode(p, le, &id); err != nil {
		return nil, at.Wrap(err)
	}
	if id.Count > maxXattrs {
		return nil, at.Corrupt("%d names", id.Count)
	}
	m, err := v.at(h.Start, ref(id.Ref))
	if err != nil {
		return nil, err
	}
	total := 0
	for range id.Count {
		name, value, err := v.xattr(m, h.Start)
		if err != nil {
			return nil, err
		}
		if total += len(name) + len(value); total > maxXattrs*16 {
			return nil, at.Corrupt("more than %d bytes", total)
		}
		if name != "" {
			out[name] = value
		}
	}
	return out, nil
}

// xattr reads a name and its value. The name is empty when its type is unknown.
func (v *volume) xattr(m *reader, table uint64) (name string, value []byte, err error) {
	p, err := m.take(4)
	if err != nil {
		return "", nil, err
	}
	kind := le.Uint16(p)
	text, err := m.take(int(le.Uint16(p[2:])))
	if err != nil {
		return "", nil, err
	}
	if value, err = xattrValue(m); err != nil {
		return "", nil, err
	}
	if kind&elsewhere != 0 {
		if len(value) != 8 {
			return "", nil, m.place().Corrupt("an xattr whose place has %d bytes", len(value))
		}
		o, err := v.at(table, ref(le.Uint64(value)))
		if err != nil {
			return "", nil, err
		}
		if value, err = xattrValue(o); err != nil {
			return "", nil, err
		}
	}
	if t := int(kind &^ elsewhere); t < len(prefixes) {
		name = prefixes[t] + string(text)
	}
	return name, value, nil
}

func xattrValue(m *reader) ([]byte, error) {
	p, err := m.take(4)
	if err != nil {
		return nil, err
	}
	n := le.Uint32(p)
	if n > maxXattrs {
		return nil, m.place().Corrupt("an xattr of %d bytes", n)
	}
	return m.take(int(n))
}
