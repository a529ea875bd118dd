package assembly

import (
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// stripe deals chunks out to its pieces in turn: chunk c has its copies at the
// positions c*copies and on, and position p is row p/len of piece p%len.
type stripe struct {
	set
	chunk, copies int64
	n             int64
}

// Stripe deals n bytes out in chunks, each to so many of the pieces that follow
// each other: RAID 0 is one copy, the near layout of RAID 10 several. A piece that
// is missing is nil; every chunk needs one copy that is there. The last row may be
// cut short.
func Stripe(n, chunk int64, copies int, pieces ...Piece) (Piece, error) {
	s := &stripe{set: pieces, chunk: chunk, copies: int64(copies), n: n}
	width := int64(len(pieces))
	if chunk <= 0 || copies < 1 || s.copies > width || n < 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%d bytes in %d copies of chunks of %d on %d members", n, copies, chunk, width)
	}
	positions, ok := ondisk.MulOK(ondisk.DivUp(n, chunk), s.copies)
	if !ok {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d copies of %d bytes", copies, n)
	}
	for i, p := range pieces {
		if p == nil {
			continue
		}
		if need, ok := ondisk.MulOK(ondisk.DivUp(max(0, positions-int64(i)), width), chunk); !ok || need-s.unused(positions, i) > p.Size() {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "member %d of %d bytes is too small for its part of %d", i, p.Size(), n)
		}
	}
	for first := range width {
		if !s.covered(first) {
			return nil, ondisk.Because(ondisk.ErrUnsupported, "too many members are missing")
		}
	}
	return s, nil
}

// unused is how many bytes the last chunk of piece i lacks: that of the whole may
// be cut short.
func (s *stripe) unused(positions int64, i int) int64 {
	width := int64(len(s.set))
	for p := max(0, positions-s.copies); p < positions; p++ {
		if p%width == int64(i) {
			return (s.chunk - s.n%s.chunk) % s.chunk
		}
	}
	return 0
}

// covered reports whether one of the copies from a position on is there.
func (s *stripe) covered(position int64) bool {
	for k := range s.copies {
		if s.set[(position+k)%int64(len(s.set))] != nil {
			return true
		}
	}
	return false
}

func (s *stripe) Size() int64 { return s.n }

// place is where copy k of the chunk that holds off lies, and how many bytes of
// it follow; the piece is nil when it is missing.
func (s *stripe) place(off, k int64) (p Piece, in, left int64) {
	position := off/s.chunk*s.copies + k
	width := int64(len(s.set))
	return s.set[position%width], position/width*s.chunk + off%s.chunk, min(s.chunk-off%s.chunk, s.n-off)
}

func (s *stripe) readAt(b []byte, off int64) error {
	for len(b) > 0 {
		_, _, left := s.place(off, 0)
		n := min(left, int64(len(b)))
		if err := s.readChunk(b[:n], off); err != nil {
			return err
		}
		b, off = b[n:], off+n
	}
	return nil
}

// readChunk reads inside of one chunk, from the first copy that can be read.
func (s *stripe) readChunk(b []byte, off int64) error {
	var first error
	for k := range s.copies {
		p, in, _ := s.place(off, k)
		if p == nil {
			continue
		}
		err := p.readAt(b, in)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (s *stripe) writeAt(b []byte, off int64) error {
	for len(b) > 0 {
		_, _, left := s.place(off, 0)
		n := min(left, int64(len(b)))
		for k := range s.copies {
			p, in, _ := s.place(off, k)
			if p == nil {
				continue
			}
			if err := p.writeAt(b[:n], in); err != nil {
				return err
			}
		}
		b, off = b[n:], off+n
	}
	return nil
}

// zeroRun bounds how many chunks one extent looks at.
const zeroRun = 1024

// extent joins chunks as long as they are zero; data is one chunk.
func (s *stripe) extent(off, n int64) (blockdev.Extent, error) {
	out := blockdev.Extent{Off: off}
	for range zeroRun {
		e, err := s.chunkExtent(off+out.Len, n-out.Len)
		if err != nil {
			return out, err
		}
		if e.Kind != blockdev.Zero {
			if out.Len == 0 {
				out.Kind, out.Len, out.Host = e.Kind, e.Len, e.Host
			}
			return out, nil
		}
		out.Kind, out.Len = blockdev.Zero, out.Len+e.Len
		if out.Len == n {
			break
		}
	}
	return out, nil
}

func (s *stripe) chunkExtent(off, n int64) (blockdev.Extent, error) {
	for k := range s.copies {
		if p, in, left := s.place(off, k); p != nil {
			return p.extent(in, min(n, left))
		}
	}
	return blockdev.Extent{Off: off, Len: n}, nil
}

// spans yields what the whole chunks of the range take on each piece, which is
// one run: the positions p with from <= p < to are the rows of piece i from
// ceil((from-i)/width) on.
func (s *stripe) spans(off, n int64, yield func(volume.Span)) {
	from := ondisk.DivUp(off, s.chunk) * s.copies
	to := (off + n) / s.chunk * s.copies
	width := int64(len(s.set))
	for i, p := range s.set {
		first := ondisk.DivUp(max(0, from-int64(i)), width)
		last := ondisk.DivUp(max(0, to-int64(i)), width)
		if p != nil && first < last {
			p.spans(first*s.chunk, (last-first)*s.chunk, yield)
		}
	}
}
