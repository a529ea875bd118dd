package ext

import (
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Inline data: a small file or directory lies in i_block, and what does not
// fit there in the value of the extended attribute "system.data" in the inode.

// inlineData is all the room of an inode with inline data.
func (v *volume) inlineData(in *inode) (block, rest []byte, err error) {
	block = in.raw[inBlock:][:inodeBlockLen]
	xs, err := v.inodeXattrs(in)
	if err != nil {
		return nil, nil, err
	}
	for _, x := range xs {
		if x.index == xaSystem && x.name == "data" {
			return block, x.value, nil
		}
	}
	return block, nil, nil
}

// inlineContent is what inline data gives of a file or symbolic link; the file
// may be longer, and is zero from there on.
func (v *volume) inlineContent(in *inode) ([]byte, error) {
	block, rest, err := v.inlineData(in)
	if err != nil {
		return nil, err
	}
	p := append(append([]byte(nil), block...), rest...)
	return p[:min(in.size(v), int64(len(p)))], nil
}

// inlineFile is a Device over inline data. mke2fs -d makes files with a size
// beyond their data: all-hole ones.
type inlineFile struct {
	data []byte
	size int64
}

var (
	_ blockdev.Device   = (*inlineFile)(nil)
	_ blockdev.Extenter = (*inlineFile)(nil)
)

func (f *inlineFile) Size() int64 { return f.size }

func (f *inlineFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("ext: negative offset %d", off)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > f.size-off {
		p, end = p[:f.size-off], io.EOF
	}
	n := copy(p, f.data[min(off, int64(len(f.data))):])
	clear(p[n:])
	return len(p), end
}

func (f *inlineFile) NextExtent(off, n int64) (blockdev.Extent, error) {
	if have := int64(len(f.data)) - off; have > 0 {
		return blockdev.Extent{Off: off, Len: min(n, have)}, nil
	}
	return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
}
