package journal

import (
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// scan looks for entries object by object. What is no object is stepped over by
// the size that it claims, and zeros, which a crash leaves, one by one: never into
// the payload of an object, which whoever wrote it may have made look like entries.
func (f *File) scan() error {
	f.index = []uint64{}
	limit := int(f.limits.Table / 8)
	for off := f.header.HeaderSize; ; {
		h, err := f.object(off, 0)
		if errors.Is(err, ondisk.ErrCorrupt) {
			next, err := f.after(off, h)
			if err != nil || next == 0 {
				return err
			}
			off = next
			continue
		}
		if err != nil {
			return err
		}
		if h.Type == typeEntry {
			if len(f.index) == limit {
				return ondisk.At(layer, "entries", ondisk.NoOffset).TooBig("more than %d", limit)
			}
			f.index = append(f.index, off)
		}
		off += uint64(ondisk.AlignUp(int64(h.Size), objectAlign))
	}
}

// after is where to look on behind what is no object; 0 when nothing follows.
func (f *File) after(off uint64, h objectHead) (uint64, error) {
	left := f.dev.size - int64(off)
	switch {
	case left < objectHeadSize:
		return 0, nil
	case h != objectHead{}:
		if h.Size < objectHeadSize || h.Size > uint64(left) {
			return 0, nil
		}
		return off + uint64(ondisk.AlignUp(int64(h.Size), objectAlign)), nil
	}
	e, err := blockdev.NextExtent(f.dev.inner, int64(off), left)
	if err != nil {
		return 0, err
	}
	if e.Kind == blockdev.Zero {
		return off + uint64(max(objectAlign, ondisk.AlignDown(e.Len, objectAlign))), nil
	}
	return off + objectAlign, nil
}
