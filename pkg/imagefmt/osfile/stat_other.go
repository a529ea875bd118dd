//go:build !linux

package osfile

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// StatOf knows nothing here: files are copied with mode and time alone.
func StatOf(fs.FileInfo) (Stat, bool) { return Stat{}, false }

// Mknod is not possible here.
func Mknod(*os.Root, string, fs.FileMode, uint32, uint32) error { return errors.ErrUnsupported }

// Chtimes sets the times of a file; those of links are left alone.
func Chtimes(root *os.Root, name string, atime, mtime time.Time) error {
	if info, err := root.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink != 0 {
		return err
	}
	return root.Chtimes(name, atime, mtime)
}
