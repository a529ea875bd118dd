package filesys

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// What a filesystem answers to a request that does not fit the object. Missing
// and existing names are fs.ErrNotExist and fs.ErrExist; a full filesystem is
// ondisk.ErrNoSpace, a feature that must not be written ondisk.ErrUnsupported.
var (
	ErrNotDir   error = syscall.ENOTDIR
	ErrIsDir    error = syscall.EISDIR
	ErrNotEmpty error = syscall.ENOTEMPTY
	ErrLoop     error = syscall.ELOOP
	ErrName     error = errors.New("name too long or not allowed")
	ErrNotFile        = errors.New("not a regular file")
	ErrTooMany        = errors.New("too many links")
	ErrInvalid        = fs.ErrInvalid
)

func tooBig(size, limit int64) error {
	return ondisk.Because(ondisk.ErrTooBig, "file of %d bytes, more than the %d allowed here", size, limit)
}
