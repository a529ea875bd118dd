package assembly

import (
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// mirror is pieces with the same bytes.
type mirror struct {
	set
	n int64
}

// Mirror is n bytes that each leg holds; there must be one at least. They are
// read from the first leg that can be, and written to all.
func Mirror(n int64, legs ...Piece) Piece { return &mirror{set: legs, n: n} }

func (m *mirror) Size() int64 { return m.n }

func (m *mirror) readAt(b []byte, off int64) error {
	var first error
	for _, leg := range m.set {
		err := leg.readAt(b, off)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (m *mirror) writeAt(b []byte, off int64) error {
	for _, leg := range m.set {
		if err := leg.writeAt(b, off); err != nil {
			return err
		}
	}
	return nil
}

func (m *mirror) extent(off, n int64) (blockdev.Extent, error) { return m.set[0].extent(off, n) }

func (m *mirror) spans(off, n int64, yield func(volume.Span)) {
	for _, leg := range m.set {
		leg.spans(off, n, yield)
	}
}
