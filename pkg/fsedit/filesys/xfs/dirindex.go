package xfs

import (
	"math/bits"
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// nameHash is the hash of names in directories and attributes (xfs_da_hashname).
func nameHash(name []byte) uint32 {
	var h uint32
	for ; len(name) >= 4; name = name[4:] {
		h = uint32(name[0])<<21 ^ uint32(name[1])<<14 ^ uint32(name[2])<<7 ^ uint32(name[3]) ^ bits.RotateLeft32(h, 28)
	}
	switch len(name) {
	case 3:
		return uint32(name[0])<<14 ^ uint32(name[1])<<7 ^ uint32(name[2]) ^ bits.RotateLeft32(h, 21)
	case 2:
		return uint32(name[0])<<7 ^ uint32(name[1]) ^ bits.RotateLeft32(h, 14)
	case 1:
		return uint32(name[0]) ^ bits.RotateLeft32(h, 7)
	}
	return h
}

// hashIndex is sorted pairs of hash and address of entries.
type hashIndex []byte

func (x hashIndex) len() int          { return len(x) / dirLeafEntry }
func (x hashIndex) hash(i int) uint32 { return be.Uint32(x[i*dirLeafEntry:]) }
func (x hashIndex) addr(i int) uint32 { return be.Uint32(x[i*dirLeafEntry+4:]) }

// from is the first entry whose hash is not below h.
func (x hashIndex) from(h uint32) int {
	return sort.Search(x.len(), func(i int) bool { return x.hash(i) >= h })
}

// dirLookup is one search in a directory with blocks.
type dirLookup struct {
	v    *volume
	in   *inode
	m    mapper
	name string
	hash uint32
	have *dirBlock // block number nr, read last
	nr   uint64
}

// lookupHash finds a name through the index; the zero dirent means that there
// is none.
func (v *volume) lookupHash(in *inode, name string) (dirent, error) {
	m, err := v.mapOf(v.dataFork(in))
	if err != nil {
		return dirent{}, err
	}
	l := &dirLookup{v: v, in: in, m: m, name: name, hash: nameHash([]byte(name))}
	b, err := l.block(0)
	if err != nil {
		return dirent{}, err
	}
	if b.leafs >= 0 {
		d, _, err := l.match(hashIndex(b.raw[b.end:][:b.leafs*dirLeafEntry]))
		return d, err
	}
	return l.leafs()
}

// match compares the entries with the right hash. more tells that those of the
// next leaf may match too.
func (l *dirLookup) match(x hashIndex) (found dirent, more bool, err error) {
	for i := x.from(l.hash); i < x.len(); i++ {
		if x.hash(i) != l.hash {
			return dirent{}, false, nil
		}
		if x.addr(i) == 0 {
			continue // stale
		}
		d, err := l.entry(uint64(x.addr(i)) << 3)
		if err != nil || string(d.name) == l.name {
			return d, false, err
		}
	}
	return dirent{}, true, nil
}

func (l *dirLookup) block(nr uint64) (*dirBlock, error) {
	if l.have != nil && l.nr == nr {
		return l.have, nil
	}
	b, err := l.v.dirBlock(l.in, l.m, nr)
	if err == nil {
		l.have, l.nr = b, nr
	}
	return b, err
}

// entry reads the entry at a byte of the directory's space.
func (l *dirLookup) entry(addr uint64) (dirent, error) {
	size := uint64(l.v.dirBlockSize())
	b, err := l.block(addr / size)
	if err != nil {
		return dirent{}, err
	}
	off := int(addr % size)
	if off < b.start || off >= b.end {
		return dirent{}, b.at.Corrupt("the index names an entry at %#x", off)
	}
	d, _, err := l.v.direntAt(b, off)
	return d, err
}

// leafs searches the leafs from the first that can hold the hash.
func (l *dirLookup) leafs() (dirent, error) {
	nr := uint64(dirLeafOffset) >> l.v.blockBits
	for depth := 0; ; depth++ {
		b, err := l.v.daBlock(l.in, l.m, nr, l.v.dirBits, "directory index")
		if err != nil {
			return dirent{}, err
		}
		if b.node {
			if depth >= daMaxDepth {
				return dirent{}, b.at.Corrupt("deeper than %d levels", daMaxDepth)
			}
			next, ok := b.below(l.hash)
			if !ok {
				return dirent{}, nil
			}
			nr = next
			continue
		}
		return l.chain(b)
	}
}

// maxSameHash bounds the leafs that hold one hash.
const maxSameHash = 1 << 12

// chain searches a leaf, and those behind it as long as they may match.
func (l *dirLookup) chain(b *daBlock) (dirent, error) {
	for range maxSameHash {
		x, err := b.hashes()
		if err != nil {
			return dirent{}, err
		}
		d, more, err := l.match(x)
		if err != nil || d.ino != 0 || !more || b.forw == 0 {
			return d, err
		}
		if b, err = l.v.daBlock(l.in, l.m, b.forw, l.v.dirBits, "directory index"); err != nil {
			return dirent{}, err
		}
	}
	return dirent{}, ondisk.At(layer, "directory index", l.in.off).In("inode %d", l.in.num).Corrupt("its leafs do not end")
}
