package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tree is the FS of a volume. A node is an inode number.
type tree struct{ v *volume }

var _ filesys.FS = (*tree)(nil)

func (t *tree) Root() filesys.Node { return filesys.Node(t.v.super.RootIno) }

func (t *tree) Attr(n filesys.Node) (filesys.Attr, error) {
	in, err := t.v.node(n)
	if err != nil {
		return filesys.Attr{}, err
	}
	return t.v.attr(in), nil
}

// node reads the inode that a node stands for. A directory that names an inode
// of the filesystem itself is corrupt.
func (v *volume) node(n filesys.Node) (*inode, error) {
	if v.reserved(uint64(n)) {
		return nil, ondisk.At(layer, "inode", ondisk.NoOffset).Corrupt("number %d is no file", n)
	}
	in, err := v.inode(uint64(n))
	if err == nil && in.Flags2&di2Metadata != 0 && v.has(incompat, fiMetadir) {
		return nil, in.at().Corrupt("it belongs to the filesystem itself")
	}
	return in, err
}

// reserved reports whether an inode belongs to the filesystem itself. Version 4
// has both kinds of 0 and of all ones for "none".
func (v *volume) reserved(num uint64) bool {
	s := v.super
	for _, own := range []uint64{s.RBmIno, s.RSumIno, s.UQuotIno, s.GQuotIno, s.PQuotIno} {
		if num == own && num != s.RootIno {
			return true
		}
	}
	return false
}
