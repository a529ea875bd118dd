package ext

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/content"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

func (t *tree) Open(n filesys.Node) (blockdev.Device, error) {
	in, err := t.v.node(n)
	if err != nil {
		return nil, err
	}
	switch {
	case in.mode().IsDir():
		return nil, filesys.ErrIsDir
	case !in.mode().IsRegular():
		return nil, filesys.ErrNotFile
	case in.has(flEncrypt):
		return nil, in.at().Encrypted("the content is encrypted (fscrypt)")
	case in.has(flCompressed) && t.v.hasIncompat(fiCompression):
		return nil, in.at().Unsupported("the content is compressed (e2compr)")
	case in.has(flInlineData):
		p, err := t.v.inlineContent(in)
		if err != nil {
			return nil, err
		}
		return &inlineFile{p, in.size(t.v)}, nil
	}
	return t.v.file(in), nil
}

// file is the content of an inode with a block map. Nothing of its map is held but
// the node that was used last.
func (v *volume) file(in *inode) *content.File {
	blocks := v.mapOf(in)
	return content.New(v.dev, in.size(v), func(off int64) (content.Run, error) {
		r, err := blocks.find(uint64(off) >> v.blockBits)
		if err != nil {
			return content.Run{}, err
		}
		out := content.Blocks(r.logical, r.count, v.blockBits)
		out.At, out.Hole = v.byteOff(r.phys), r.kind != runData
		return out, nil
	})
}
