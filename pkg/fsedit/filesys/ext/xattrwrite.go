package ext

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// attributes are the extended attributes of an inode that is being changed,
// by the place where they lie.
type attributes struct {
	e       *editor
	in      *inode
	inInode xattrList
	inBlock xattrList
}

// xattrList are the attributes in one place.
type xattrList struct {
	xs    []xattr
	dirty bool
}

func (l *xattrList) remove(index uint8, name string) {
	n := len(l.xs)
	l.xs = slices.DeleteFunc(l.xs, func(x xattr) bool { return x.is(index, name) })
	l.dirty = l.dirty || len(l.xs) != n
}

// add appends x if all then fits n bytes.
func (l *xattrList) add(x xattr, n int) bool {
	with := append(slices.Clone(l.xs), x)
	if !xattrsFit(with, n) {
		return false
	}
	l.xs, l.dirty = with, true
	return true
}

func (e *editor) attributes(in *inode) (*attributes, error) {
	a := &attributes{e: e, in: in}
	var err error
	if a.inInode.xs, err = e.v.inodeXattrs(in); err != nil {
		return nil, err
	}
	a.inBlock.xs, err = e.v.blockXattrs(in)
	return a, err
}

// is returns a test for one attribute.
func (x xattr) is(index uint8, name string) bool { return x.index == index && x.name == name }

func (a *attributes) all() []xattr { return slices.Concat(a.inInode.xs, a.inBlock.xs) }

// get returns an attribute.
func (a *attributes) get(index uint8, name string) (xattr, bool) {
	all := a.all()
	if i := slices.IndexFunc(all, func(x xattr) bool { return x.is(index, name) }); i >= 0 {
		return all[i], true
	}
	return xattr{}, false
}

// remove takes an attribute away, if it is there.
func (a *attributes) remove(index uint8, name string) error {
	if x, ok := a.get(index, name); ok && x.inum != 0 {
		return a.in.at().Unsupported("the value of xattr %q lies in an inode of its own (ea_inode)", name)
	}
	a.inInode.remove(index, name)
	a.inBlock.remove(index, name)
	return nil
}

// set adds or replaces an attribute: in the inode if it fits, else in the block.
func (a *attributes) set(index uint8, name string, value []byte) error {
	if err := a.remove(index, name); err != nil {
		return err
	}
	v := a.e.v
	x := xattr{index: index, name: name, value: value, hash: xattrHash(name, value)}
	switch {
	case a.inInode.add(x, v.inodeXattrRoom(a.in)):
		return nil
	case !v.hasCompat(fcExtAttr):
		return a.in.at().Unsupported("extended attributes without the feature ext_attr")
	case !a.inBlock.add(x, int(v.blockSize)-xattrHeaderSize):
		return a.in.at().NoSpace("xattr %q of %d bytes does not fit", name, len(value))
	}
	return nil
}

// inodeXattrRoom is the size of the area for attributes in an inode.
func (v *volume) inodeXattrRoom(in *inode) int {
	if v.inodeSize == oldInodeSize || in.ExtraIsize == 0 {
		return 0
	}
	return v.inodeSize - oldInodeSize - int(in.ExtraIsize) - 4
}

// store writes the attributes back; the inode is the caller's to stage.
func (a *attributes) store() error {
	if a.inInode.dirty {
		area := a.in.raw[oldInodeSize+int(a.in.ExtraIsize):]
		packXattrs(area[4:], 0, a.inInode.xs)
		magic := uint32(xattrMagic)
		if len(a.inInode.xs) == 0 {
			magic = 0
		}
		le.PutUint32(area, magic)
	}
	if !a.inBlock.dirty {
		return nil
	}
	return a.storeBlock()
}

// storeBlock writes the xattr block: in place when it is this inode's alone, as
// a new one when others share it.
func (a *attributes) storeBlock() error {
	e, v := a.e, a.e.v
	nr := a.in.xattrBlock(v)
	if nr != 0 {
		raw, err := v.xattrBlock(nr)
		if err != nil {
			return err
		}
		shared := le.Uint32(raw[xattrRefCountAt:]) > 1
		if shared && slices.ContainsFunc(a.inBlock.xs, func(x xattr) bool { return x.inum != 0 }) {
			return a.in.at().Unsupported("values of shared xattrs lie in inodes of their own (ea_inode)")
		}
		if shared || len(a.inBlock.xs) == 0 {
			if err := e.unrefXattrBlock(a.in); err != nil {
				return err
			}
			nr = 0
		}
	}
	if len(a.inBlock.xs) == 0 {
		return nil
	}
	if nr == 0 {
		var err error
		if nr, err = e.allocBlock(e.goal(a.in)); err != nil {
			return err
		}
		a.in.setXattrBlock(nr)
		if err := a.in.addBlocks(v, 1); err != nil {
			return err
		}
	}
	block := make([]byte, v.blockSize)
	packXattrs(block, xattrHeaderSize, a.inBlock.xs)
	le.PutUint32(block[0:], xattrMagic)
	le.PutUint32(block[xattrRefCountAt:], 1)
	le.PutUint32(block[8:], 1)
	le.PutUint32(block[xattrHashAt:], xattrBlockHash(a.inBlock.xs))
	e.putXattrBlock(nr, block)
	return nil
}

func (e *editor) putXattrBlock(nr uint64, block []byte) {
	if e.v.checksums() {
		le.PutUint32(block[xattrChecksumAt:], xattrBlockSum(e.v.seed, nr, block))
	}
	e.stage.Put(nr, block)
}

// unrefXattrBlock takes the xattr block from an inode, and frees it with its
// last user.
func (e *editor) unrefXattrBlock(in *inode) error {
	v := e.v
	nr := in.xattrBlock(v)
	raw, err := v.xattrBlock(nr)
	if err != nil {
		return err
	}
	in.setXattrBlock(0)
	if err := in.addBlocks(v, -1); err != nil {
		return err
	}
	refs := le.Uint32(raw[xattrRefCountAt:])
	if refs <= 1 {
		return e.freeBlocks(zone{nr, 1})
	}
	block := slices.Clone(raw)
	le.PutUint32(block[xattrRefCountAt:], refs-1)
	e.putXattrBlock(nr, block)
	return nil
}

// freeXattrs gives up all attributes of an inode that goes away.
func (e *editor) freeXattrs(in *inode) error {
	a, err := e.attributes(in)
	if err != nil {
		return err
	}
	for _, x := range a.all() {
		if x.inum != 0 {
			return in.at().Unsupported("the value of xattr %q lies in an inode of its own (ea_inode)", x.name)
		}
	}
	if in.xattrBlock(e.v) == 0 {
		return nil
	}
	return e.unrefXattrBlock(in)
}

// dropInline forgets the inline data of an inode and leaves an empty map.
func (e *editor) dropInline(in *inode) error {
	a, err := e.attributes(in)
	if err != nil {
		return err
	}
	if err := a.remove(xaSystem, "data"); err != nil {
		return err
	}
	if err := a.store(); err != nil {
		return err
	}
	in.setFlags(0, flInlineData)
	_, err = e.setMap(in, nil, nil)
	return err
}

// splitXattrName finds the index that stands for the prefix of a name.
func splitXattrName(full string) (index uint8, name string, err error) {
	switch full {
	case xattrPrefix[xaACLAccess]:
		return xaACLAccess, "", nil
	case xattrPrefix[xaACLDefault]:
		return xaACLDefault, "", nil
	}
	for _, i := range []uint8{xaUser, xaTrusted, xaSecurity} {
		if name, ok := strings.CutPrefix(full, xattrPrefix[i]); ok && name != "" && len(name) <= maxName && !strings.Contains(name, "\x00") {
			return i, name, nil
		}
	}
	return 0, "", ondisk.At(layer, "", ondisk.NoOffset).Unsupported("xattr %q", full)
}

// SetXattr sets one attribute. An ACL comes in the form of setxattr(2), and an
// access ACL sets the permission bits too.
func (e *editor) SetXattr(n filesys.Node, full string, value []byte) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		if err != nil {
			return err
		}
		a, err := e.attributes(in)
		if err != nil {
			return err
		}
		index, name, err := splitXattrName(full)
		if err != nil {
			return err
		}
		if index == xaACLAccess || index == xaACLDefault {
			err = a.setACL(index, value)
		} else {
			err = a.set(index, name, value)
		}
		if err != nil {
			return err
		}
		if err := a.store(); err != nil {
			return err
		}
		return e.changed(in)
	})
}

// RemoveXattr removes one attribute: fs.ErrNotExist when there is none.
func (e *editor) RemoveXattr(n filesys.Node, full string) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		if err != nil {
			return err
		}
		a, err := e.attributes(in)
		if err != nil {
			return err
		}
		index, name, err := splitXattrName(full)
		if err != nil {
			return err
		}
		if _, ok := a.get(index, name); !ok {
			return &fs.PathError{Op: "removexattr", Path: full, Err: fs.ErrNotExist}
		}
		if err := a.remove(index, name); err != nil {
			return err
		}
		if err := a.store(); err != nil {
			return err
		}
		return e.changed(in)
	})
}
