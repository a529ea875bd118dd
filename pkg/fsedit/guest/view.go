package guest

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// View is a guest's tree as one reads it by path. Paths begin with "/" and are
// byte strings; symbolic links are resolved inside the guest's root, at most 40
// of them. [Tree] is the guest as it lies on its disks; package edit has a View
// that holds staged changes over another.
type View interface {
	// Lstat does not follow a link in the last element; Stat does.
	Lstat(path string) (filesys.Attr, error)
	Stat(path string) (filesys.Attr, error)
	// Open gives a regular file's bytes, following links.
	Open(path string) (blockdev.Device, error)
	// ReadDir lists names in byte order, following links to the directory.
	ReadDir(path string) ([]filesys.Dirent, error)
	Readlink(path string) (string, error)
	Xattrs(path string) (map[string][]byte, error)
	// Realpath is the path without links; the last element may be missing.
	Realpath(path string) (string, error)
}

// ReadFile reads a regular file of at most limit bytes, following links.
func ReadFile(v View, path string, limit int64) ([]byte, error) {
	return readFile(v, path, limit)
}

// Exists reports whether something is at path, links followed.
func Exists(v View, path string) bool {
	_, err := v.Stat(path)
	return err == nil
}

// IsDir reports whether path leads to a directory.
func IsDir(v View, path string) bool {
	a, err := v.Stat(path)
	return err == nil && a.Mode.IsDir()
}

// IsFile reports whether path leads to a regular file.
func IsFile(v View, path string) bool {
	a, err := v.Stat(path)
	return err == nil && a.Mode.IsRegular()
}
