package ext

import (
	"errors"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
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

// node reads the inode that a node stands for.
func (v *volume) node(n filesys.Node) (*inode, error) {
	if n > 1<<32-1 {
		return nil, filesys.ErrInvalid
	}
	return v.inode(uint32(n))
}

// TODO: the five below follow with dir.go, file.go, xattr.go.

func (t *tree) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	return 0, errors.ErrUnsupported
}
func (t *tree) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) { return nil, errors.ErrUnsupported }
func (t *tree) Open(n filesys.Node) (blockdev.Device, error)       { return nil, errors.ErrUnsupported }
func (t *tree) Readlink(n filesys.Node) (string, error)            { return "", errors.ErrUnsupported }
func (t *tree) Xattrs(n filesys.Node) (map[string][]byte, error)   { return nil, errors.ErrUnsupported }
