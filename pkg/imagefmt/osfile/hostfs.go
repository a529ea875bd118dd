package osfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// host is all that a transaction does to this machine. Tests put one in its
// place that fails, tears writes and forgets what was not synced.
type host interface {
	// openImage opens a file for changing, and locks everybody else out.
	openImage(path string) (hostFile, error)
	createLog(path string) (hostFile, error)
	openLog(path string) (hostFile, error)
	remove(path string) error
	syncDir(dir string) error
	freeSpace(dir string) (int64, error)
}

type hostFile interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	Close() error
	extent(off, n int64) (blockdev.Kind, int64, error)
	identity() string
}

// thisHost is the real one.
type thisHost struct{}

func (thisHost) openImage(path string) (hostFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := usable(info, path); err != nil {
		return nil, err
	}
	if isBlockDevice(info) {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%s is a block device, which has no place for a log beside it; use convert", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, inUse(path, err)
	}
	if err := lockExclusive(f); err != nil {
		f.Close()
		return nil, inUse(path, err)
	}
	return &diskFile{f, identity(info, path)}, nil
}

func (thisHost) createLog(path string) (hostFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, absolute(path)}, nil
}

// openLog follows no link: a log that came with an image may be one.
func (thisHost) openLog(path string) (hostFile, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ondisk.Because(ondisk.ErrBlocked, "%s is in the place of a log, and no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, absolute(path)}, nil
}

func (thisHost) remove(path string) error            { return os.Remove(path) }
func (thisHost) syncDir(dir string) error            { return syncDir(dir) }
func (thisHost) freeSpace(dir string) (int64, error) { return FreeSpace(dir) }

type diskFile struct {
	*os.File
	id string
}

func (f *diskFile) identity() string { return f.id }

func (f *diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *diskFile) extent(off, n int64) (blockdev.Kind, int64, error) {
	return holeOrData(f.File, off, n)
}

// resolve is the path of the file itself: its log lies beside it, not beside a
// link to it.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(real)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
