package squashfs

import (
	"math"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// inode is what one of any kind says.
type inode struct {
	head
	nlink  uint32
	size   uint64 // of a file; of a directory, three more than its entries take
	xattrs uint32

	dir    ref    // entries of a directory
	start  uint64 // of a file's data blocks
	sparse uint64 // bytes of a file that are holes
	frag   uint32
	fragAt uint32
	device uint32
	target string

	rest *reader // behind what was read: the lengths of a file's blocks
}

func (i *inode) at() ondisk.Place {
	return ondisk.At(layer, "inode", ondisk.NoOffset).In("%d", i.Number)
}

// types of the kinds of inodes, large ones included.
var types = [...]filesys.Mode{
	0, filesys.Dir, filesys.Regular, filesys.Symlink, filesys.BlockDev, filesys.CharDev, filesys.Fifo, filesys.Socket,
	filesys.Dir, filesys.Regular, filesys.Symlink, filesys.BlockDev, filesys.CharDev, filesys.Fifo, filesys.Socket,
}

func typeOf(kind uint16) filesys.Mode {
	if int(kind) < len(types) {
		return types[kind]
	}
	return 0
}

func (i *inode) mode() filesys.Mode { return typeOf(i.Kind) | filesys.Mode(i.Perm).Perm() }

// inode reads the one at a place.
func (v *volume) inode(n filesys.Node) (*inode, error) {
	m, err := v.at(v.super.InodeTable, ref(n))
	if err != nil {
		return nil, err
	}
	if m.block >= int64(v.super.DirTable) {
		return nil, m.place().Corrupt("an inode behind their table")
	}
	i := &inode{xattrs: noIndex, rest: m}
	p, err := m.take(headSize)
	if err != nil {
		return nil, err
	}
	i.head = decodeHead(p)
	size := bodySizes[min(int(i.Kind), len(bodySizes)-1)]
	if size == 0 {
		return nil, i.at().Corrupt("kind %d", i.Kind)
	}
	if p, err = m.take(size); err != nil {
		return nil, err
	}
	if err := i.body(ondisk.NewCursor(p, le)); err != nil {
		return nil, err
	}
	if i.size > math.MaxInt64 {
		return nil, i.at().Corrupt("%d bytes", i.size)
	}
	return i, i.readTarget()
}

// bodySizes are those of what follows the head, before lists and texts, by kind.
var bodySizes = [...]int{0, 16, 16, 8, 8, 8, 4, 4, 24, 40, 8, 12, 12, 8, 8, 0}

func (i *inode) body(c *ondisk.Cursor) error {
	switch i.Kind {
	case kindDir:
		block := c.U32()
		i.nlink, i.size = c.U32(), uint64(c.U16())
		i.dir = ref(uint64(block)<<16 | uint64(c.U16()))
	case kindDir + kindLarge:
		i.nlink, i.size = c.U32(), uint64(c.U32())
		block := c.U32()
		c.Skip(6) // parent, number of index entries
		i.dir, i.xattrs = ref(uint64(block)<<16|uint64(c.U16())), c.U32()
	case kindFile:
		i.nlink, i.start, i.frag, i.fragAt, i.size = 1, uint64(c.U32()), c.U32(), c.U32(), uint64(c.U32())
	case kindFile + kindLarge:
		i.start, i.size, i.sparse, i.nlink = c.U64(), c.U64(), c.U64(), c.U32()
		i.frag, i.fragAt, i.xattrs = c.U32(), c.U32(), c.U32()
	case kindSymlink, kindSymlink + kindLarge:
		i.nlink, i.size = c.U32(), uint64(c.U32())
	case kindBlockDev, kindCharDev:
		i.nlink, i.device = c.U32(), c.U32()
	case kindBlockDev + kindLarge, kindCharDev + kindLarge:
		i.nlink, i.device, i.xattrs = c.U32(), c.U32(), c.U32()
	case kindFifo, kindSocket:
		i.nlink = c.U32()
	case kindFifo + kindLarge, kindSocket + kindLarge:
		i.nlink, i.xattrs = c.U32(), c.U32()
	}
	return c.Err()
}

// readTarget reads what follows the inode of a symbolic link.
func (i *inode) readTarget() error {
	if typeOf(i.Kind) != filesys.Symlink {
		return nil
	}
	if i.size > maxTarget {
		return i.at().Corrupt("a link to %d bytes", i.size)
	}
	p, err := i.rest.take(int(i.size))
	if err != nil {
		return err
	}
	i.target = string(p)
	if i.Kind > kindLarge {
		if p, err = i.rest.take(4); err != nil {
			return err
		}
		i.xattrs = le.Uint32(p)
	}
	return nil
}

// owner is an entry of the id table.
func (v *volume) owner(i uint16) (uint32, error) {
	if i >= v.super.IDs {
		return 0, ondisk.At(layer, "id table", int64(v.super.IDTable)).Corrupt("entry %d of %d", i, v.super.IDs)
	}
	p, err := v.entry(v.super.IDTable, int64(i), 4)
	if err != nil {
		return 0, err
	}
	return le.Uint32(p), nil
}

func (v tree) Attr(n filesys.Node) (filesys.Attr, error) {
	i, err := v.inode(n)
	if err != nil {
		return filesys.Attr{}, err
	}
	mtime := time.Unix(int64(i.Mtime), 0)
	a := filesys.Attr{Node: n, Mode: i.mode(), Nlink: i.nlink, Size: int64(i.size), Atime: mtime, Mtime: mtime, Ctime: mtime}
	if i.mode().IsRegular() && i.sparse <= i.size {
		a.Blocks = ondisk.DivUp(int64(i.size-i.sparse), 512)
	}
	if i.mode().IsDevice() { // as new_decode_dev of Linux
		a.Major, a.Minor = i.device>>8&0xFFF, i.device&0xFF|i.device>>12&0xFFF00
	}
	if a.UID, err = v.owner(i.UID); err == nil {
		a.GID, err = v.owner(i.GID)
	}
	return a, err
}

func (v tree) Readlink(n filesys.Node) (string, error) {
	i, err := v.inode(n)
	if err != nil {
		return "", err
	}
	if !i.mode().IsSymlink() {
		return "", filesys.ErrInvalid
	}
	return i.target, nil
}
