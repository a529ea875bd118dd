package osfile

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// noAtime keeps the access time of what is read.
const noAtime = unix.O_NOATIME

// holeOrData asks the file system (lseek(2), SEEK_DATA and SEEK_HOLE) what
// begins at off, and how far it goes within n bytes.
func holeOrData(f *os.File, off, n int64) (blockdev.Kind, int64, error) {
	data, err := f.Seek(off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		// No data follows: a hole up to the end, if the end is still there.
		if end, err := f.Seek(0, io.SeekEnd); err != nil || end < off+n {
			return blockdev.Data, n, err
		}
		return blockdev.Zero, n, nil
	case errors.Is(err, unix.EINVAL):
		return blockdev.Data, n, nil // the file system does not know
	case err != nil:
		return blockdev.Data, 0, err
	case data > off:
		return blockdev.Zero, min(n, data-off), nil
	}
	hole, err := f.Seek(off, unix.SEEK_HOLE)
	if err != nil || hole <= off {
		return blockdev.Data, n, nil // changed in between
	}
	return blockdev.Data, min(n, hole-off), nil
}

// startWriteback asks for the bytes to go to the disk, and does not wait
// (sync_file_range(2)). It is no promise, so errors are for the sync to find.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// renameNoReplace gives the file a name that nobody has.
func renameNoReplace(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return linkInstead(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// allocate reserves room for a range (fallocate(2)).
func allocate(f *os.File, off, n int64) error {
	if n == 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	return err
}

// cloneRange shares blocks of another file (ioctl_ficlonerange(2)).
func cloneRange(f *os.File, from blockdev.HostPos, off, n int64) error {
	return unix.IoctlFileCloneRange(int(f.Fd()), &unix.FileCloneRange{
		Src_fd: int64(from.File.Fd()), Src_offset: uint64(from.Off), Src_length: uint64(n), Dest_offset: uint64(off),
	})
}
