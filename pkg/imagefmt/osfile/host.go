package osfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// errLocked is wrapped by what the lock functions report.
var errLocked = errors.New("locked")

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// linkInstead names a file as rename would, but never takes the name of another
// one. Where files have one name only, it looks first.
func linkInstead(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return os.Remove(from)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, statErr := os.Lstat(to); statErr == nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}
