package assembly

import (
	"io"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Piece is a run of bytes that lie somewhere below. All pieces are made by this
// package; ranges given to the methods lie inside.
type Piece interface {
	Size() int64
	readAt(p []byte, off int64) error
	writeAt(p []byte, off int64) error
	sync() error
	// extent is one extent from off, not empty, at most n long.
	extent(off, n int64) (blockdev.Extent, error)
	// spans yields the runs on members that hold bytes of the range and no others.
	spans(off, n int64, yield func(volume.Span))
	writable() bool
	sectorSize() (logical, physical int)
}

// part is a run of one member.
type part struct {
	inner  blockdev.Device
	writer blockdev.Writable // nil when the member cannot be written
	member int
	off, n int64
}

// Part is the n bytes from off of a member, which is number member of the devices
// that the mapper was given. The range must lie inside it.
func Part(member int, inner blockdev.Device, off, n int64) (Piece, error) {
	if !ondisk.InRange(off, n, inner.Size()) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%d bytes at %d end beyond the member of %d bytes", n, off, inner.Size())
	}
	w, _ := inner.(blockdev.Writable)
	return &part{inner: inner, writer: w, member: member, off: off, n: n}, nil
}

func (p *part) Size() int64                         { return p.n }
func (p *part) readAt(b []byte, off int64) error    { return ondisk.Full(p.inner, b, p.off+off) }
func (p *part) sync() error                         { return p.writer.Sync() }
func (p *part) writable() bool                      { return p.writer != nil }
func (p *part) sectorSize() (logical, physical int) { return blockdev.SectorSize(p.inner) }

func (p *part) writeAt(b []byte, off int64) error {
	_, err := p.writer.WriteAt(b, p.off+off)
	return err
}

func (p *part) extent(off, n int64) (blockdev.Extent, error) {
	e, err := blockdev.NextExtent(p.inner, p.off+off, n)
	e.Off = off
	return e, err
}

func (p *part) spans(off, n int64, yield func(volume.Span)) {
	yield(volume.Span{Member: p.member, Off: p.off + off, Len: n})
}

// opaque is a device whose bytes have no place of their own below.
type opaque struct{ inner blockdev.Device }

// Opaque is a device that is read only, and whose bytes lie nowhere below, or
// share their place with others.
func Opaque(inner blockdev.Device) Piece { return &opaque{inner: inner} }

func (o *opaque) Size() int64                           { return o.inner.Size() }
func (o *opaque) readAt(b []byte, off int64) error      { return ondisk.Full(o.inner, b, off) }
func (o *opaque) writeAt([]byte, int64) error           { return ondisk.ErrReadOnly }
func (o *opaque) sync() error                           { return nil }
func (o *opaque) spans(int64, int64, func(volume.Span)) {}
func (o *opaque) writable() bool                        { return false }
func (o *opaque) sectorSize() (logical, physical int)   { return blockdev.SectorSize(o.inner) }

func (o *opaque) extent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(o.inner, off, n)
}

// readOnly is a piece that is not to be written.
type readOnly struct{ Piece }

// ReadOnly is p without writing.
func ReadOnly(p Piece) Piece { return readOnly{p} }

func (readOnly) writable() bool              { return false }
func (readOnly) writeAt([]byte, int64) error { return ondisk.ErrReadOnly }

// Spans is what [volume.Volume.Spans] wants for a piece.
func Spans(p Piece) func(off, n int64) []volume.Span {
	return func(off, n int64) []volume.Span {
		var out []volume.Span
		if n > 0 && ondisk.InRange(off, n, p.Size()) {
			p.spans(off, n, func(s volume.Span) { out = append(out, s) })
		}
		return out
	}
}

// Device is p as a device. It is Writable when every leaf is.
func Device(p Piece) blockdev.Device {
	d := device{inner: p}
	if p.writable() {
		return &writableDevice{d}
	}
	return &d
}

type device struct{ inner Piece }

var (
	_ blockdev.Extenter = (*device)(nil)
	_ blockdev.Geometry = (*device)(nil)
	_ blockdev.Writable = (*writableDevice)(nil)
)

func (d *device) Size() int64                         { return d.inner.Size() }
func (d *device) SectorSize() (logical, physical int) { return d.inner.sectorSize() }

func (d *device) ReadAt(p []byte, off int64) (int, error) {
	size := d.inner.Size()
	if off < 0 {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "negative offset %d", off)
	}
	if off >= size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), size-off))
	if err := d.inner.readAt(p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *device) NextExtent(off, n int64) (blockdev.Extent, error) { return d.inner.extent(off, n) }

type writableDevice struct{ device }

func (d *writableDevice) WriteAt(p []byte, off int64) (int, error) {
	if !ondisk.InRange(off, int64(len(p)), d.inner.Size()) {
		return 0, ondisk.Because(ondisk.ErrNoSpace, "write %d+%d outside a volume of %d bytes", off, len(p), d.inner.Size())
	}
	if err := d.inner.writeAt(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *writableDevice) Sync() error { return d.inner.sync() }

// slice is a run of a piece.
type slice struct {
	Piece
	off, n int64
}

// Slice is the n bytes from off of p.
func Slice(p Piece, off, n int64) (Piece, error) {
	if !ondisk.InRange(off, n, p.Size()) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%d bytes at %d end beyond %d bytes", n, off, p.Size())
	}
	if off == 0 && n == p.Size() {
		return p, nil
	}
	return &slice{p, off, n}, nil
}

func (s *slice) Size() int64                       { return s.n }
func (s *slice) readAt(b []byte, off int64) error  { return s.Piece.readAt(b, s.off+off) }
func (s *slice) writeAt(b []byte, off int64) error { return s.Piece.writeAt(b, s.off+off) }

func (s *slice) extent(off, n int64) (blockdev.Extent, error) {
	e, err := s.Piece.extent(s.off+off, n)
	e.Off = off
	return e, err
}

func (s *slice) spans(off, n int64, yield func(volume.Span)) { s.Piece.spans(s.off+off, n, yield) }
