package osfile

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Contents lends the bytes of many host files as devices and keeps only the one
// that was read last open: what is copied into a guest is read one after the
// other, long after it was named.
type Contents struct {
	mu   sync.Mutex
	path string
	file *os.File
}

// Device is the first size bytes of a regular file, with its holes. A file that
// became shorter is an error when it is read.
func (c *Contents) Device(path string, size int64) blockdev.Device {
	return &content{all: c, path: path, size: size}
}

func (c *Contents) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file, c.path = nil, ""
	return err
}

// with runs do on the open file at path.
func (c *Contents) with(path string, do func(f *os.File) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path != path {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if c.file != nil {
			c.file.Close()
		}
		c.file, c.path = f, path
	}
	return do(c.file)
}

type content struct {
	all  *Contents
	path string
	size int64
}

var _ blockdev.Extenter = (*content)(nil)

func (c *content) Size() int64 { return c.size }

func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if off >= c.size {
		return 0, io.EOF
	}
	short := off >= 0 && int64(len(p)) > c.size-off
	if short {
		p = p[:c.size-off]
	}
	err = c.all.with(c.path, func(f *os.File) error {
		n, err = f.ReadAt(p, off)
		return err
	})
	switch {
	case err == io.EOF && n < len(p):
		return n, fmt.Errorf("%s became shorter while it was read: %w", c.path, io.ErrUnexpectedEOF)
	case n == len(p) && short:
		err = io.EOF
	case n == len(p):
		err = nil
	}
	return n, err
}

func (c *content) NextExtent(off, n int64) (e blockdev.Extent, err error) {
	err = c.all.with(c.path, func(f *os.File) error {
		kind, length, err := holeOrData(f, off, n)
		e = blockdev.Extent{Off: off, Len: length, Kind: kind}
		return err
	})
	return e, err
}
