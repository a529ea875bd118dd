//go:build unix

package osfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// identity is equal for two names of one file or of one block device.
func identity(info fs.FileInfo, path string) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return absolute(path)
	case isBlockDevice(info):
		return fmt.Sprintf("device %d", st.Rdev)
	default:
		return fmt.Sprintf("file %d:%d", st.Dev, st.Ino)
	}
}

// isBusy reports the errors of a lock that somebody else holds, or of a block
// device that is mounted.
func isBusy(err error) bool {
	return errors.Is(err, errLocked) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}

// syncDir makes the names in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
