package imagefmt

import (
	"context"
	"fmt"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Changer writes into an open image. It has the image for itself while it does.
type Changer interface {
	// WriteSome writes the beginning of p at off and says how much that was, at
	// least one byte. All of p lies inside the disk. What comes with an error does
	// not count.
	WriteSome(p []byte, off int64) (int, error)
	// Flush brings the format's own tables up to date in the file.
	Flush() error
}

// NewWritable is img with a changer of it: many readers or one writer at a time.
// The name is that of the format, for messages.
func NewWritable(name string, img Image, c Changer) WritableImage {
	return &changing{name: name, inner: img, changer: c}
}

type changing struct {
	mu      sync.RWMutex
	name    string
	inner   Image
	changer Changer
}

var (
	_ Mapper            = (*changing)(nil)
	_ blockdev.Geometry = (*changing)(nil)
)

func (c *changing) Size() int64                         { return c.inner.Size() }
func (c *changing) Info() Info                          { return c.inner.Info() }
func (c *changing) Close() error                        { return c.inner.Close() }
func (c *changing) SectorSize() (logical, physical int) { return blockdev.SectorSize(c.inner) }

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.inner.ReadAt(p, off)
}

func (c *changing) NextExtent(off, n int64) (blockdev.Extent, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.inner.NextExtent(off, n)
}

func (c *changing) NextMapEntry(off, n int64) (MapEntry, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return NextMapEntry(c.inner, off, n)
}

func (c *changing) WriteAt(p []byte, off int64) (int, error) {
	if !ondisk.InRange(off, int64(len(p)), c.Size()) {
		return 0, fmt.Errorf("%s: write %d+%d outside a disk of %d bytes", c.name, off, len(p), c.Size())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for done := 0; done < len(p); {
		n, err := c.changer.WriteSome(p[done:], off+int64(done))
		if err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// Sync has nothing to do; the transaction below the image syncs.
func (c *changing) Sync() error { return nil }

func (c *changing) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changer.Flush()
}
