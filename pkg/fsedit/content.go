package fsedit

import (
	"context"
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/drivers"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// content is what a volume holds, opened when first asked for.
type content struct {
	drivers.Content
	device blockdev.Device
	limits ondisk.Limits

	once   sync.Once
	volume filesys.Volume
	fs     filesys.FS
	err    error
}

// open opens it once. Content without a tree, as swap space is, gives its volume
// beside the error.
func (c *content) open() (filesys.Volume, filesys.FS, error) {
	c.once.Do(func() {
		// The filesystem outlives the call that first asks for it, and its context.
		ctx := context.Background()
		c.volume, c.err = c.Driver.Open(ctx, []blockdev.Device{c.device}, filesys.Options{Limits: c.limits})
		if c.err == nil {
			c.fs, c.err = c.volume.Root("")
		}
	})
	return c.volume, c.fs, c.err
}

// unopenable is why there is no driver for what v holds.
func (c *content) unopenable(v volume.Volume) error {
	switch {
	case v.Locked != nil:
		return v.Locked
	case !c.Known():
		return ondisk.Because(ondisk.ErrFormat, "%s holds nothing that is known", v.ID)
	}
	return ondisk.Because(ondisk.ErrUnsupported, "%s holds %s, which cannot be opened yet", v.ID, c.Type)
}
