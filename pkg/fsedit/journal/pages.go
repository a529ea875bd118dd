package journal

import (
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	pageSize  = 16 << 10
	pagesKept = 32
)

// pages reads a device through a small cache: an entry is some thirty objects, of
// which most were read for the entry before.
type pages struct {
	inner blockdev.Device
	size  int64
	cache *ondisk.BlockCache[int64]
}

func newPages(dev blockdev.Device) *pages {
	return &pages{dev, dev.Size(), ondisk.NewBlockCache[int64](pagesKept * pageSize)}
}

// read fills p from off on.
func (d *pages) read(p []byte, off int64) error {
	if !ondisk.InRange(off, int64(len(p)), d.size) {
		return ondisk.Because(ondisk.ErrCorrupt, "ends early: %d bytes wanted at %#x of %#x", len(p), off, d.size)
	}
	if len(p) > pageSize {
		return ondisk.Full(d.inner, p, off)
	}
	for len(p) > 0 {
		page, err := d.page(off / pageSize)
		if err != nil {
			return err
		}
		n := copy(p, page[off%pageSize:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (d *pages) page(nr int64) ([]byte, error) {
	if p := d.cache.Get(nr); p != nil {
		return p, nil
	}
	p := make([]byte, min(pageSize, d.size-nr*pageSize))
	if err := ondisk.Full(d.inner, p, nr*pageSize); err != nil {
		return nil, err
	}
	return d.cache.Put(nr, p), nil
}
