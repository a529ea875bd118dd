package osfile

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// QEMU tells other QEMUs what it does to an image by shared open-file-description
// locks on single bytes: one of usedBase for each permission that it uses, one of
// unsharedBase for each that it denies to others. It takes its own, then looks
// whether others hold the opposite ones.
const (
	usedBase     = 100
	unsharedBase = 200

	permRead   = 0
	permWrite  = 1
	permResize = 3
)

// ownByte is the byte of vmconv's own lock: shared by readers, exclusive for
// who writes in place. No image reaches so far.
const ownByte = 1 << 62

// lockShared announces a reader, and looks for writers. The lock goes with f.
func lockShared(f *os.File) error {
	if err := setLock(f, unix.F_RDLCK, ownByte); err != nil {
		return err
	}
	for _, at := range []int64{usedBase + permRead, unsharedBase + permWrite, unsharedBase + permResize} {
		if err := setLock(f, unix.F_RDLCK, at); err != nil {
			return err
		}
	}
	if err := probeLocks(f, usedBase+permWrite, usedBase+permResize); err != nil {
		return err
	}
	return lease(f, unix.F_RDLCK)
}

// lockExclusive announces a writer, and looks for everybody else. The lock goes
// with f, which is open for reading and writing.
func lockExclusive(f *os.File) error {
	if err := setLock(f, unix.F_WRLCK, ownByte); err != nil {
		return err
	}
	all := []int64{
		usedBase + permWrite, usedBase + permResize,
		unsharedBase + permWrite, unsharedBase + permResize,
	}
	for _, at := range append(all, usedBase+permRead, unsharedBase+permRead) {
		if err := setLock(f, unix.F_RDLCK, at); err != nil {
			return err
		}
	}
	if err := probeLocks(f, all...); err != nil {
		return err
	}
	return lease(f, unix.F_WRLCK)
}

// setLock locks one byte. A file system without such locks has no say.
func setLock(f *os.File, kind int16, at int64) error {
	lk := unix.Flock_t{Type: kind, Start: at, Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w by another program (byte %d)", errLocked, at)
	}
	return nil
}

// probeLocks looks whether others lock one of the bytes, without locking.
func probeLocks(f *os.File, bytes ...int64) error {
	for _, at := range bytes {
		lk := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk); err == nil && lk.Type != unix.F_UNLCK {
			return fmt.Errorf("%w by QEMU or a program that locks like it (byte %d)", errLocked, at)
		}
	}
	return nil
}

// lease takes a lease and gives it back: the kernel grants one for reading only
// while nobody has the file open for writing, and one for writing only while
// nobody else does (fcntl(2), F_SETLEASE). Where it is not granted for other
// reasons, nothing is learned. A process that was just forked holds its parent's
// files for a moment, so one refusal is not believed.
func lease(f *os.File, kind int) error {
	const tries, pause = 5, 10 * time.Millisecond
	for i := 0; ; i++ {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, kind)
		if err == nil {
			unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if i == tries {
			return fmt.Errorf("%w: another program has it open for writing, perhaps a loop device", errLocked)
		}
		time.Sleep(pause)
	}
}
