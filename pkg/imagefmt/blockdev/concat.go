package blockdev

import (
	"fmt"
	"io"
	"sort"
)

// NewConcat is the parts one after the other: the extents of a split image, the
// segments of a linear volume. It is Writable when all parts are.
func NewConcat(parts ...Device) Device {
	c := &concat{inner: parts, ends: make([]int64, len(parts))}
	writers := make([]Writable, 0, len(parts))
	for i, p := range parts {
		c.size += p.Size()
		c.ends[i] = c.size
		if w, ok := p.(Writable); ok {
			writers = append(writers, w)
		}
	}
	if len(parts) > 0 && len(writers) == len(parts) {
		return &writableConcat{concat: c, writers: writers}
	}
	return c
}

type concat struct {
	inner []Device
	ends  []int64 // where each part ends in the whole
	size  int64
}

var (
	_ Device   = (*concat)(nil)
	_ Extenter = (*concat)(nil)
	_ Geometry = (*concat)(nil)
	_ Writable = (*writableConcat)(nil)
)

func (c *concat) Size() int64 { return c.size }

// SectorSize is that of the coarsest part.
func (c *concat) SectorSize() (logical, physical int) {
	logical, physical = 512, 512
	for _, p := range c.inner {
		l, ph := SectorSize(p)
		logical, physical = max(logical, l), max(physical, ph)
	}
	return logical, physical
}

// locate finds the part that holds off, an offset inside the whole, where off
// is in it, and how many bytes of it follow.
func (c *concat) locate(off int64) (part int, in, left int64) {
	part = sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off })
	start := c.ends[part] - c.inner[part].Size()
	return part, off - start, c.ends[part] - off
}

func (c *concat) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("blockdev: negative offset %d", off)
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= c.size {
			return done, io.EOF
		}
		part, in, left := c.locate(at)
		want := p[done:min(int64(len(p)), int64(done)+left)]
		n, err := c.inner[part].ReadAt(want, in)
		done += n
		if n < len(want) {
			return done, unexpected(err)
		}
	}
	return done, nil
}

func (c *concat) NextExtent(off, n int64) (Extent, error) {
	part, in, left := c.locate(off)
	e, err := NextExtent(c.inner[part], in, min(n, left))
	if err != nil {
		return Extent{}, err
	}
	e.Off = off
	return e, nil
}

// writableConcat adds writing where every part can be written.
type writableConcat struct {
	*concat
	writers []Writable
}

func (c *writableConcat) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > c.size || int64(len(p)) > c.size-off {
		return 0, fmt.Errorf("blockdev: write %d+%d outside a device of %d bytes", off, len(p), c.size)
	}
	done := 0
	for done < len(p) {
		part, in, left := c.locate(off + int64(done))
		n, err := c.writers[part].WriteAt(p[done:min(int64(len(p)), int64(done)+left)], in)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Sync syncs every part, and reports the first failure.
func (c *writableConcat) Sync() error {
	var first error
	for _, w := range c.writers {
		if err := w.Sync(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
