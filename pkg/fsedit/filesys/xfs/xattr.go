package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func (t *tree) Xattrs(n filesys.Node) (map[string][]byte, error) {
	in, err := t.v.node(n)
	if err != nil {
		return nil, err
	}
	f, ok := t.v.attrFork(in)
	if !ok {
		return nil, nil
	}
	l := attrList{v: t.v, fork: f, out: map[string][]byte{}}
	if err := l.read(); err != nil {
		return nil, err
	}
	return l.out, nil
}

// attrList gathers the attributes of one inode.
type attrList struct {
	v     *volume
	fork  fork
	out   map[string][]byte
	items []attribute // as stored, when there is no out
	bytes int64
}

// read finds the attributes in whatever form they have.
func (l *attrList) read() error {
	switch f := l.fork; {
	case f.format == formatLocal:
		return l.short()
	case f.format != formatExtent || f.count > 0:
		return l.leafs()
	}
	return nil
}

// add takes one attribute; a nil value is still to be read by value.
func (l *attrList) add(flags uint8, name []byte, at ondisk.Place, value func() ([]byte, error)) error {
	full := xattrName(flags, name)
	if full == "" {
		return nil
	}
	p, err := value()
	if err != nil {
		return err
	}
	if acl, ok := aclNames[full]; ok && l.out != nil {
		if p, err = aclToSyscall(p); err != nil {
			return at.In("%s", full).Wrap(err)
		}
		full = acl
	}
	if l.bytes += int64(len(full) + len(p)); l.bytes > l.v.limits.Text || max(len(l.out), len(l.items)) >= l.v.limits.Entries {
		return at.TooBig("more than %d bytes of attributes", l.v.limits.Text)
	}
	if l.out == nil {
		l.items = append(l.items, attribute{flags & (attrRoot | attrSecure), string(name), append([]byte{}, p...)})
		return nil
	}
	l.out[full] = append([]byte{}, p...)
	return nil
}

// xattrName is the name by which Linux knows an attribute; empty for those that
// it does not show: unfinished ones, and the pointers to parents.
func xattrName(flags uint8, name []byte) string {
	switch {
	case flags&(attrIncomplete|attrParent) != 0:
		return ""
	case flags&attrRoot != 0:
		return "trusted." + string(name)
	case flags&attrSecure != 0:
		return "security." + string(name)
	}
	return "user." + string(name)
}

// short reads attributes in the inode: total size, count; entries of lengths,
// flags, name and value.
func (l *attrList) short() error {
	const header, entry = 4, 3
	at := l.fork.at()
	p := l.fork.raw
	if len(p) < header {
		return at.Corrupt("no room for attributes")
	}
	size, count := int(be.Uint16(p)), int(p[2])
	if size < header || size > len(p) {
		return at.Corrupt("%d bytes of attributes in %d", size, len(p))
	}
	p = p[header:size]
	for i := range count {
		if len(p) < entry || len(p) < entry+int(p[0])+int(p[1]) {
			return at.Corrupt("attribute %d of %d is cut off", i, count)
		}
		nameLen, valueLen, flags := int(p[0]), int(p[1]), p[2]
		name, value := p[entry:][:nameLen], p[entry+nameLen:][:valueLen]
		if err := l.add(flags, name, at, func() ([]byte, error) { return value, nil }); err != nil {
			return err
		}
		p = p[entry+nameLen+valueLen:]
	}
	return nil
}

// leafs walks from the leftmost leaf on, by the pointers to the next.
func (l *attrList) leafs() error {
	m, err := l.v.mapOf(l.fork)
	if err != nil {
		return err
	}
	in, nr := l.fork.in, uint64(0)
	seen := map[uint64]bool{}
	for depth := 0; ; {
		if seen[nr] || len(seen) > l.v.limits.Entries {
			return l.fork.at().Corrupt("its blocks form a ring")
		}
		seen[nr] = true
		b, err := l.v.daBlock(in, m, nr, 0, "attribute block")
		if err != nil {
			return err
		}
		if b.node {
			if depth++; b.count == 0 || depth > daMaxDepth {
				return b.at.Corrupt("a node of %d entries at depth %d", b.count, depth)
			}
			nr = uint64(b.entries().addr(0))
			continue
		}
		if err := l.leaf(b); err != nil {
			return err
		}
		if nr = b.forw; nr == 0 {
			return nil
		}
	}
}

// leaf reads the entries of one leaf.
func (l *attrList) leaf(b *daBlock) error {
	if b.magic != attrLeafMagic4 {
		return b.at.Corrupt("magic %#04x", b.magic)
	}
	for i := range b.count {
		e := b.raw[b.header+i*attrEntry:]
		at, flags := int(be.Uint16(e[4:])), e[6]
		if at < b.header+b.count*attrEntry || at > len(b.raw) {
			return b.at.Corrupt("attribute %d lies at %#x", i, at)
		}
		if err := l.leafEntry(b.raw[at:], flags, b.at.In("inode %d, attribute %d", l.fork.in.num, i)); err != nil {
			return err
		}
	}
	return nil
}

// leafEntry reads a name with its value, or with the place of its value.
func (l *attrList) leafEntry(p []byte, flags uint8, at ondisk.Place) error {
	c := ondisk.NewCursor(p, be)
	if flags&attrLocal != 0 {
		valueLen, nameLen := int(c.U16()), int(c.U8())
		name, value := c.Bytes(nameLen), c.Bytes(valueLen)
		if err := c.Err(); err != nil {
			return at.Wrap(err)
		}
		return l.add(flags, name, at, func() ([]byte, error) { return value, nil })
	}
	block, valueLen, nameLen := c.U32(), c.U32(), int(c.U8())
	name := c.Bytes(nameLen)
	if err := c.Err(); err != nil {
		return at.Wrap(err)
	}
	return l.add(flags, name, at, func() ([]byte, error) {
		if valueLen > maxAttrValue {
			return nil, at.Corrupt("a value of %d bytes", valueLen)
		}
		return l.v.remoteText(l.fork, uint64(block), int(valueLen), remoteValue)
	})
}
