package assembly

import (
	"sort"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// concat is pieces one after the other.
type concat struct {
	set
	ends []int64 // where each piece ends in the whole
}

// Concat is the pieces one after the other. Their sizes must not add up to more
// than an int64 holds.
func Concat(pieces ...Piece) Piece {
	if len(pieces) == 1 {
		return pieces[0]
	}
	c := &concat{set: pieces}
	end := int64(0)
	for _, p := range pieces {
		end += p.Size()
		c.ends = append(c.ends, end)
	}
	return c
}

func (c *concat) Size() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// each calls do with the pieces that hold a range: which, where in it, and where
// in the range.
func (c *concat) each(off, n int64, do func(p Piece, in, n, at int64) error) error {
	i := sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off })
	for at := int64(0); at < n; i++ {
		p := c.set[i]
		in := off + at - (c.ends[i] - p.Size())
		run := min(n-at, p.Size()-in)
		if err := do(p, in, run, at); err != nil {
			return err
		}
		at += run
	}
	return nil
}

func (c *concat) readAt(b []byte, off int64) error {
	return c.each(off, int64(len(b)), func(p Piece, in, n, at int64) error { return p.readAt(b[at:at+n], in) })
}

func (c *concat) writeAt(b []byte, off int64) error {
	return c.each(off, int64(len(b)), func(p Piece, in, n, at int64) error { return p.writeAt(b[at:at+n], in) })
}

func (c *concat) spans(off, n int64, yield func(volume.Span)) {
	c.each(off, n, func(p Piece, in, n, _ int64) error {
		if n > 0 {
			p.spans(in, n, yield)
		}
		return nil
	})
}

func (c *concat) extent(off, n int64) (blockdev.Extent, error) {
	i := sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off })
	p := c.set[i]
	e, err := p.extent(off-(c.ends[i]-p.Size()), min(n, c.ends[i]-off))
	e.Off = off
	return e, err
}
