package fsedittest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// NewImage makes an empty sparse file of size bytes that lives as long as the test.
func NewImage(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// CopyImage copies an image, holes as holes.
func CopyImage(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	testtool.Run(t, "cp", "--sparse=always", from, to)
	return to
}

// OpenImage opens an image of the host for reading.
func OpenImage(t testing.TB, path string) blockdev.Device {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return &image{f, st.Size()}
}

// OpenWritable opens an image whose changes stay in memory.
func OpenWritable(t testing.TB, path string) *blockdev.Overlay {
	t.Helper()
	return blockdev.NewOverlay(OpenImage(t, path), blockdev.OverlayOptions{Memory: 1 << 30})
}

// Save writes what changed in an overlay into a copy of its image.
func Save(t testing.TB, o *blockdev.Overlay, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for e, err := range o.Changed(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, e.Len)
		if _, err := o.ReadAt(p, e.Off); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(p, e.Off); err != nil {
			t.Fatal(err)
		}
	}
}

type image struct {
	file *os.File
	size int64
}

func (d *image) Size() int64                             { return d.size }
func (d *image) ReadAt(p []byte, off int64) (int, error) { return d.file.ReadAt(p, off) }
