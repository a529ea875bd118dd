package xfs

import (
	"cmp"
	"slices"
)

// attribute is one attribute as it is stored.
type attribute struct {
	flags uint8 // its namespace
	name  string
	value []byte
}

const (
	attrShortHeader = 4
	attrShortEntry  = 3
	attrShortMost   = 255 // bytes of a value in the inode
)

// shortAttrs are attributes in the inode; false when one is too long for that.
func shortAttrs(list []attribute) ([]byte, bool) {
	p := []byte{0, 0, byte(len(list)), 0}
	for _, a := range list {
		if len(a.value) > attrShortMost {
			return nil, false
		}
		p = append(p, byte(len(a.name)), byte(len(a.value)), a.flags)
		p = append(p, a.name...)
		p = append(p, a.value...)
	}
	if len(list) > 255 || len(p) > 1<<16-1 {
		return nil, false
	}
	be.PutUint16(p, uint16(len(p)))
	return p, true
}

// leafAttr is an attribute on its way into a leaf.
type leafAttr struct {
	attribute
	hash   uint32
	remote bool
	block  uint32 // where the value is, of a remote one
}

// attrImage is attributes as blocks: the tree, then values.
type attrImage struct {
	g      *geometry
	list   []leafAttr
	leafs  []int // how many attributes each leaf has
	values []leafAttr
}

// buildAttrs decides what lies where.
func (g *geometry) buildAttrs(list []attribute) *attrImage {
	b := &attrImage{g: g}
	for _, a := range list {
		x := leafAttr{attribute: a, hash: nameHash([]byte(a.name))}
		x.remote = localSize(a) >= int(g.blockSize)/4*3
		b.list = append(b.list, x)
	}
	slices.SortFunc(b.list, func(x, y leafAttr) int {
		return cmp.Or(cmp.Compare(x.hash, y.hash), cmp.Compare(x.name, y.name), cmp.Compare(x.flags, y.flags))
	})
	room := 0
	for _, x := range b.list {
		n := attrEntry + x.size()
		if n > room || len(b.leafs) == 0 {
			b.leafs, room = append(b.leafs, 0), int(g.blockSize)-g.attrHeader()
		}
		b.leafs[len(b.leafs)-1]++
		room -= n
	}
	return b
}

func (g *geometry) attrHeader() int {
	if g.v5() {
		return attrHeader5
	}
	return attrHeader4
}

// localSize is what name and value take in a leaf.
func localSize(a attribute) int { return (3 + len(a.name) + len(a.value) + 3) &^ 3 }

// size is what an attribute takes in a leaf. Of one whose value is elsewhere the
// kernel counts two bytes more than there are.
func (x *leafAttr) size() int {
	if x.remote {
		return (9 + 2 + len(x.name) + 3) &^ 3
	}
	return localSize(x.attribute)
}

// treeBlocks is the number of blocks of leafs and nodes.
func (b *attrImage) treeBlocks() int {
	total := len(b.leafs)
	per := (int(b.g.blockSize) - b.g.daHeader()) / daEntry
	for n := total; n > 1; {
		n = (n + per - 1) / per
		total += n
	}
	return total
}

// valueBlocks is how many a value takes.
func (g *geometry) valueBlocks(n int) uint32 {
	room := int(g.blockSize)
	if g.v5() {
		room -= remoteHeader
	}
	return uint32((n + room - 1) / room)
}

// place gives values their blocks behind the tree, and returns how many there are
// in all.
func (b *attrImage) place() uint64 {
	next := uint32(b.treeBlocks())
	for i := range b.list {
		if x := &b.list[i]; x.remote {
			x.block = next
			next += b.g.valueBlocks(len(x.value))
		}
	}
	return uint64(next)
}

// tree is the blocks of leafs and nodes.
func (b *attrImage) tree() [][]byte {
	var leafs [][]byte
	var tops []uint32
	rest := b.list
	for _, n := range b.leafs {
		leafs = append(leafs, b.leaf(rest[:n]))
		tops = append(tops, rest[n-1].hash)
		rest = rest[n:]
	}
	return b.g.daTree(leafs, tops, int(b.g.blockSize), 0, 1)
}

// leaf is one leaf: entries from the front, names and values from the end.
func (b *attrImage) leaf(list []leafAttr) []byte {
	g := b.g
	raw := make([]byte, g.blockSize)
	countAt, header := g.putDaMagic(raw, attrLeafMagic4), g.attrHeader()
	end := len(raw)
	for i := range list {
		x := &list[i]
		end -= x.size()
		e := raw[header+i*attrEntry:]
		be.PutUint32(e, x.hash)
		be.PutUint16(e[4:], uint16(end))
		e[6] = x.flags
		p := raw[end:]
		if x.remote {
			be.PutUint32(p, x.block)
			be.PutUint32(p[4:], uint32(len(x.value)))
			p[8] = byte(len(x.name))
			copy(p[9:], x.name)
			continue
		}
		e[6] |= attrLocal
		be.PutUint16(p, uint16(len(x.value)))
		p[2] = byte(len(x.name))
		copy(p[3:], x.name)
		copy(p[3+len(x.name):], x.value)
	}
	top := header + len(list)*attrEntry
	be.PutUint16(raw[countAt:], uint16(len(list)))
	be.PutUint16(raw[countAt+2:], uint16(len(raw)-end)) // bytes used
	be.PutUint16(raw[countAt+4:], uint16(end))          // the first of them
	be.PutUint16(raw[countAt+8:], uint16(top))          // what is free
	be.PutUint16(raw[countAt+10:], uint16(end-top))
	return raw
}

// putValue stages the blocks of a value. They are never logged, which their LSN
// tells.
func (e *editor) putValue(in *inode, runs []run, x *leafAttr) error {
	v := e.v
	for done, nr := 0, uint64(x.block); done < len(x.value); nr++ {
		raw := make([]byte, v.blockSize)
		body := raw
		if v.v5() {
			body = raw[remoteHeader:]
		}
		n := copy(body, x.value[done:])
		if v.v5() {
			putRemoteHeader(raw, remoteAttrMagic, done, n)
			be.PutUint64(raw[remoteStamp.lsn:], 1<<64-1)
		}
		if err := e.putRun(in, runs, nr, raw, remoteStamp); err != nil {
			return err
		}
		done += n
	}
	return nil
}
