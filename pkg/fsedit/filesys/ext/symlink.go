package ext

import (
	"bytes"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxSymlink is PATH_MAX of Linux, less the NUL.
const maxSymlink = 4095

func (t *tree) Readlink(n filesys.Node) (string, error) {
	in, err := t.v.node(n)
	if err != nil {
		return "", err
	}
	if !in.mode().IsSymlink() {
		return "", filesys.ErrInvalid
	}
	if in.has(flEncrypt) {
		return "", in.at().Encrypted("the link is encrypted (fscrypt)")
	}
	p, err := t.v.linkTarget(in)
	if err != nil {
		return "", err
	}
	target, _, _ := bytes.Cut(p, []byte{0})
	return string(target), nil
}

func (v *volume) linkTarget(in *inode) ([]byte, error) {
	size := in.size(v)
	switch {
	case size > maxSymlink:
		return nil, in.at().Corrupt("symbolic link of %d bytes", size)
	case in.has(flInlineData):
		return v.inlineContent(in)
	case !v.fastSymlink(in):
		p := make([]byte, size)
		return p, in.at().Wrap(ondisk.Full(v.file(in), p, 0))
	case size >= inodeBlockLen:
		return nil, in.at().Corrupt("symbolic link of %d bytes without blocks", size)
	}
	return in.raw[inBlock:][:size], nil
}

// fastSymlink reports whether the target lies in i_block: the inode has no
// block but that of its extended attributes.
func (v *volume) fastSymlink(in *inode) bool {
	own := in.sectors(v)
	if in.xattrBlock(v) != 0 {
		own -= v.blockSize << v.clusterBits >> 9
	}
	if in.has(flEAInode) {
		return in.size(v) < inodeBlockLen
	}
	return own == 0 && !in.has(flInlineData)
}
