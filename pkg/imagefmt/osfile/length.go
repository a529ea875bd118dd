package osfile

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// CheckLength reports with ondisk.ErrNoSpace that a file of size bytes cannot be
// in the folder, whatever its holes: file systems have a longest file, and users
// may have one.
func CheckLength(dir string, size int64) error {
	if limit := lengthLimit(); size > limit {
		return ondisk.Because(ondisk.ErrNoSpace, "a file of %d bytes is needed, and this process may write %d (ulimit -f)", size, limit)
	}
	f, err := NewSpill(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Truncate(size)
	if errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EINVAL) {
		return ondisk.Because(ondisk.ErrNoSpace, "the file system of %s has no files as long as %d bytes; a split format may help", dir, size)
	}
	if err != nil {
		return fmt.Errorf("trying a file of %d bytes: %w", size, err)
	}
	return nil
}
