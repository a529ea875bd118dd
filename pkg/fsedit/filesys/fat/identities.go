package fat

import (
	"maps"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// FAT has no inode numbers. A node is the place of its slot, in units of slots,
// as in Linux; a file that an edit moves to another slot keeps the node that it
// had, and identities knows where it is.
type identities struct {
	at map[filesys.Node]int64 // where nodes are that are not at their own place
	of map[int64]filesys.Node // the other way round
	// next is for files in the former place of one that still has its node.
	next filesys.Node
}

const (
	rootNode  filesys.Node = 1 // in the boot sector, where no slot is
	firstMade filesys.Node = 1 << 60
	gone      int64        = -1
)

func newIdentities() *identities {
	return &identities{at: map[filesys.Node]int64{}, of: map[int64]filesys.Node{}, next: firstMade}
}

func (d *identities) clone() *identities {
	return &identities{at: maps.Clone(d.at), of: maps.Clone(d.of), next: d.next}
}

// place is the byte where the slot of a node lies, gone when it was removed.
func (d *identities) place(n filesys.Node) int64 {
	if off, ok := d.at[n]; ok {
		return off
	}
	if n >= firstMade {
		return gone
	}
	return int64(n) * slotSize
}

// node is who lives in the slot at byte off.
func (d *identities) node(off int64) filesys.Node {
	if n, ok := d.of[off]; ok {
		return n
	}
	return filesys.Node(off / slotSize)
}

// add names the new file in the slot at off. undo takes it back.
func (d *identities) add(off int64) (n filesys.Node, undo func()) {
	n = filesys.Node(off / slotSize)
	if _, taken := d.at[n]; !taken {
		return n, func() {}
	}
	n = d.next
	d.next++
	return n, d.set(n, off)
}

// set moves a node, or removes it. undo takes it back.
func (d *identities) set(n filesys.Node, off int64) (undo func()) {
	was, listed := d.at[n]
	from := d.place(n)
	fromNode, fromListed := d.of[from]
	toNode, toListed := d.of[off]
	delete(d.of, from)
	d.at[n] = off
	if off != gone {
		d.of[off] = n
	}
	return func() {
		restore(d.of, off, toNode, toListed)
		restore(d.of, from, fromNode, fromListed)
		restore(d.at, n, was, listed)
	}
}

func restore[K comparable, V any](m map[K]V, k K, v V, listed bool) {
	if listed {
		m[k] = v
	} else {
		delete(m, k)
	}
}
