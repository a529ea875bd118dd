//go:build linux || darwin || freebsd

package osfile

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// FreeSpace is how many bytes this user may still write in the folder.
func FreeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free := uint64(max(0, int64(st.Bavail)))
	block := uint64(st.Bsize)
	if block != 0 && free > 1<<62/block {
		return 1 << 62, nil
	}
	return int64(free * block), nil
}

// lengthLimit is how long a file this process may write (getrlimit(2)).
func lengthLimit() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil || uint64(limit.Cur) > 1<<62 {
		return 1 << 62
	}
	return int64(limit.Cur)
}
