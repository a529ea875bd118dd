package blockdev

import "io"

// NewReader reads d from its start to its end, for the standard library.
func NewReader(d Device) *io.SectionReader {
	return io.NewSectionReader(d, 0, d.Size())
}
