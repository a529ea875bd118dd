package blockdev

import (
	"fmt"
	"io"
)

// NewSection is the n bytes of inner from off: a partition, an extent of a
// file. It is Writable when inner is. The range must lie inside inner.
func NewSection(inner Device, off, n int64) (Device, error) {
	if off < 0 || n < 0 || off > inner.Size() || n > inner.Size()-off {
		return nil, fmt.Errorf("blockdev: section %d+%d outside a device of %d bytes", off, n, inner.Size())
	}
	s := section{inner: inner, off: off, n: n}
	if w, ok := inner.(Writable); ok {
		return &writableSection{section: s, writer: w}, nil
	}
	return &s, nil
}

type section struct {
	inner  Device
	off, n int64
}

var (
	_ Device   = (*section)(nil)
	_ Extenter = (*section)(nil)
	_ Geometry = (*section)(nil)
	_ Writable = (*writableSection)(nil)
)

func (s *section) Size() int64 { return s.n }

func (s *section) SectorSize() (logical, physical int) { return SectorSize(s.inner) }

func (s *section) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("blockdev: negative offset %d", off)
	}
	if off >= s.n {
		return 0, io.EOF
	}
	short := int64(len(p)) > s.n-off
	if short {
		p = p[:s.n-off]
	}
	n, err := s.inner.ReadAt(p, s.off+off)
	if n == len(p) {
		err = nil
		if short {
			err = io.EOF
		}
	}
	return n, err
}

func (s *section) NextExtent(off, n int64) (Extent, error) {
	e, err := NextExtent(s.inner, s.off+off, n)
	if err != nil {
		return Extent{}, err
	}
	e.Off -= s.off
	return e, nil
}

// writableSection adds writing to a section whose device can be written; the
// part is named, so that no capability slips through with the wrong offset.
type writableSection struct {
	section
	writer Writable
}

func (s *writableSection) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.n || int64(len(p)) > s.n-off {
		return 0, fmt.Errorf("blockdev: write %d+%d outside a section of %d bytes", off, len(p), s.n)
	}
	return s.writer.WriteAt(p, s.off+off)
}

func (s *writableSection) Sync() error { return s.writer.Sync() }
