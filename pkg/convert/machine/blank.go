package machine

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// blank is a disk that the hypervisor would have made empty.
type blank struct{ inner blockdev.Device }

var _ imagefmt.Image = blank{}

func (b blank) Size() int64                             { return b.inner.Size() }
func (b blank) ReadAt(p []byte, off int64) (int, error) { return b.inner.ReadAt(p, off) }
func (b blank) Close() error                            { return nil }
func (b blank) Info() imagefmt.Info                     { return blankInfo(b.Size()) }

func (b blank) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(b.inner, off, n)
}

func blankInfo(size int64) imagefmt.Info { return imagefmt.Info{Format: "blank", VirtualSize: size} }
