package convert

import (
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// mover takes packed blocks from an image to a writer as they are: nothing is
// unpacked, and nothing packed again. It is safe for concurrent use.
type mover struct {
	from  imagefmt.PackedReader
	over  *blockdev.Overlay // of changes over from
	to    imagefmt.PackedWriter
	moved atomic.Int64 // bytes of the disk
}

// newMover is nil when nothing of d can be moved to w: one of them does not know
// packed blocks, or theirs are of different sizes.
func newMover(d Disk, w imagefmt.Writer) *mover {
	from, reads := d.Image.(imagefmt.PackedReader)
	to, writes := w.(imagefmt.PackedWriter)
	if !reads || !writes || from.PackedSize() != to.BlockSize() {
		return nil
	}
	return &mover{from: from, over: d.Overlay, to: to}
}

// move takes the block of n bytes at off, unless the overlay changes it, the
// image does not store it packed, or the writer cannot store it so. Two pieces of
// memory may hold the block until it is appended.
func (m *mover) move(off int64, n int, read, adopt []byte) (imagefmt.Block, bool, error) {
	if !m.over.Untouched(off, int64(n)) {
		return imagefmt.Block{}, false, nil
	}
	p, ok, err := m.from.ReadPacked(read, off)
	if !ok || err != nil {
		return imagefmt.Block{}, false, err
	}
	b, ok, err := m.to.Adopt(adopt, p)
	if !ok || err != nil {
		return imagefmt.Block{}, false, err
	}
	m.moved.Add(int64(n))
	return b, true, nil
}

// bytes is how much of the disk was moved; a nil mover moves nothing.
func (m *mover) bytes() int64 {
	if m == nil {
		return 0
	}
	return m.moved.Load()
}
