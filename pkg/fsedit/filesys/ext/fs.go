package ext

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tree is the FS of a volume. A node is an inode number.
type tree struct{ v *volume }

var _ filesys.FS = (*tree)(nil)

func (t *tree) Root() filesys.Node { return inoRoot }

func (t *tree) Attr(n filesys.Node) (filesys.Attr, error) {
	in, err := t.v.node(n)
	if err != nil {
		return filesys.Attr{}, err
	}
	return t.v.attr(in), nil
}

// node reads the inode that a node stands for. A directory that names an inode
// kept for the filesystem itself is corrupt.
func (v *volume) node(n filesys.Node) (*inode, error) {
	if n > 1<<32-1 {
		return nil, filesys.ErrInvalid
	}
	if num := uint32(n); v.reserved(num) {
		return nil, ondisk.At(layer, "inode", ondisk.NoOffset).Corrupt("number %d is no file", num)
	}
	return v.inode(uint32(n))
}

// reserved reports whether an inode belongs to the filesystem itself.
func (v *volume) reserved(num uint32) bool {
	s := v.super()
	switch {
	case num == inoRoot:
		return false
	case num < v.firstInode:
		return true
	case v.hasCompat(fcOrphanFile) && num == s.OrphanFileInode:
		return true
	}
	return v.hasROCompat(frQuota) && (num == s.UserQuotaInum || num == s.GroupQuotaInum || num == s.ProjectQuotaInum)
}
