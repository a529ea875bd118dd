package osfile

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// headSize is how much of a block device is kept back until all else is on it:
// every format has its magic in there.
const headSize = 4096

// device is a block device that is written in place. It is zeroed at its head
// with the first write, so that it is no image until it is a whole one.
type device struct {
	file *os.File
	path string
	size int64

	mu    sync.Mutex
	head  []byte
	begun bool
}

// openDevice opens a block device that nobody else uses. One that holds
// something needs leave to be overwritten.
func openDevice(path string, overwrite bool) (*device, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		return nil, inUse(path, err)
	}
	d, err := newDevice(f, path)
	if err == nil && !overwrite {
		err = d.blank()
	}
	if err == nil {
		err = inUse(path, lockExclusive(f))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func newDevice(f *os.File, path string) (*device, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	return &device{file: f, path: path, size: size, head: make([]byte, min(size, headSize))}, nil
}

// blank looks where file systems, partition tables and images begin.
func (d *device) blank() error {
	p := make([]byte, min(d.size, 128<<10))
	if _, err := d.file.ReadAt(p, 0); err != nil && err != io.EOF {
		return err
	}
	if !ondisk.IsZero(p) {
		return fmt.Errorf("the device holds something: %w", exists(d.path))
	}
	return nil
}

func (d *device) fits(size int64) error {
	if size > d.size {
		return ondisk.Because(ondisk.ErrNoSpace, "%s has %d bytes, and %d are needed", d.path, d.size, size)
	}
	return nil
}

func (d *device) WriteAt(p []byte, off int64) (int, error) {
	end, ok := ondisk.AddOK(off, int64(len(p)))
	if !ok {
		return 0, fmt.Errorf("%s: write at impossible offset %d", d.path, off)
	}
	if err := d.fits(end); err != nil {
		return 0, err
	}
	kept, err := d.keep(p, off)
	if err != nil || kept == len(p) {
		return kept, err
	}
	n, err := d.file.WriteAt(p[kept:], off+int64(kept))
	return kept + n, err
}

// keep takes what belongs to the head.
func (d *device) keep(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.begun {
		if _, err := d.file.WriteAt(make([]byte, len(d.head)), 0); err != nil {
			return 0, err
		}
		d.begun = true
	}
	if off >= int64(len(d.head)) {
		return 0, nil
	}
	return copy(d.head[off:], p), nil
}

// finish writes the head after all else has reached the device.
func (d *device) finish() error {
	if !d.begun {
		return nil
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	_, err := d.file.WriteAt(d.head, 0)
	return err
}
