package xfs

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
	case in.has(diRealtime):
		return nil, in.at().Unsupported("its content is on the realtime device")
	}
	f, err := t.v.file(in)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// file is the content of an inode that maps blocks. Nothing of its map is held but
// the leaf that was used last.
func (v *volume) file(in *inode) (*content.File, error) {
	m, err := v.mapOf(v.dataFork(in))
	if err != nil {
		return nil, err
	}
	return content.New(v.dev, int64(in.Size), func(off int64) (content.Run, error) {
		r, err := m.find(uint64(off) >> v.blockBits)
		if err != nil {
			return content.Run{}, err
		}
		out := content.Blocks(r.logical, r.count, v.blockBits)
		if out.Hole = r.kind != runData; !out.Hole {
			out.At = v.byteOff(r.phys)
		}
		return out, nil
	}), nil
}
