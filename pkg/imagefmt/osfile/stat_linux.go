package osfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StatOf is the system's part of info; false when info is not of this system.
func StatOf(info fs.FileInfo) (Stat, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Stat{}, false
	}
	return Stat{
		UID: st.Uid, GID: st.Gid, Nlink: uint64(st.Nlink), Dev: uint64(st.Dev), Ino: st.Ino,
		Major: unix.Major(uint64(st.Rdev)), Minor: unix.Minor(uint64(st.Rdev)),
		Atime: time.Unix(st.Atim.Unix()),
	}, true
}

// Mknod makes a device node, fifo or socket below root.
func Mknod(root *os.Root, name string, mode fs.FileMode, major, minor uint32) error {
	kind := uint32(mode.Perm())
	switch mode.Type() {
	case fs.ModeNamedPipe:
		kind |= unix.S_IFIFO
	case fs.ModeSocket:
		kind |= unix.S_IFSOCK
	case fs.ModeDevice | fs.ModeCharDevice:
		kind |= unix.S_IFCHR
	case fs.ModeDevice:
		kind |= unix.S_IFBLK
	}
	return inFolder(root, name, func(dir int, base string) error {
		return unix.Mknodat(dir, base, kind, int(unix.Mkdev(major, minor)))
	})
}

// Chtimes sets the times of a file or of a link itself below root, at any time
// that the file system can hold.
func Chtimes(root *os.Root, name string, atime, mtime time.Time) error {
	times := []unix.Timespec{timespec(atime), timespec(mtime)}
	return inFolder(root, name, func(dir int, base string) error {
		return unix.UtimesNanoAt(dir, base, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// inFolder calls do with the open folder of name, which lies below root.
func inFolder(root *os.Root, name string, do func(dir int, base string) error) error {
	d, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := do(int(d.Fd()), filepath.Base(name)); err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return nil
}
