package osfile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

func identity(_ fs.FileInfo, path string) string { return absolute(path) }

func isBusy(err error) bool {
	return errors.Is(err, errLocked) || errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// syncDir does nothing: NTFS logs its names itself.
func syncDir(string) error { return nil }

// FreeSpace is how many bytes this user may still write in the folder.
func FreeSpace(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(min(free, 1<<62)), nil
}

func lengthLimit() int64 { return 1 << 62 }
