package ext

import "github.com/vmconv/vmconv/pkg/fsedit/filesys"

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

// node reads the inode that a node stands for.
func (v *volume) node(n filesys.Node) (*inode, error) {
	if n > 1<<32-1 {
		return nil, filesys.ErrInvalid
	}
	return v.inode(uint32(n))
}
