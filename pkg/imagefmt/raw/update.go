package raw

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Update opens a raw image for writing. Its size stays as it is.
func (Format) Update(_ context.Context, file imagefmt.File, opts imagefmt.OpenOptions) (imagefmt.WritableImage, error) {
	if err := checkSize(file, opts.Limits); err != nil {
		return nil, err
	}
	return &writableImage{image: image{inner: file}, file: file, size: file.Size()}, nil
}

type writableImage struct {
	image
	file imagefmt.File
	size int64
}

func (m *writableImage) WriteAt(p []byte, off int64) (int, error) {
	if !ondisk.InRange(off, int64(len(p)), m.size) {
		return 0, fmt.Errorf("raw: write %d+%d outside a disk of %d bytes", off, len(p), m.size)
	}
	return m.file.WriteAt(p, off)
}

// Sync and Flush have nothing to do: a raw image has no tables, and the
// transaction syncs.
func (m *writableImage) Sync() error                 { return nil }
func (m *writableImage) Flush(context.Context) error { return nil }
