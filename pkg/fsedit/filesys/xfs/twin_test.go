//go:build linux

package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
	"golang.org/x/sys/unix"
)

// world is a tree that operations apply to: ours, or the kernel's twin of it.
type world interface {
	create(name string, mode filesys.Mode) error
	write(name string, c *sparse) error
	mkdir(name string, mode filesys.Mode) error
	symlink(name, target string) error
	mknod(name string, mode filesys.Mode, major, minor uint32) error
	link(old, name string) error
	rename(old, name string) error
	remove(name string) error
	chmod(name string, mode filesys.Mode) error
	chown(name string, uid, gid uint32) error
	utimes(name string, atime, mtime time.Time) error
	setXattr(name, key string, value []byte) error
	removeXattr(name, key string) error
}

// sparse is content with holes: parts by offset.
type sparse struct {
	size  int64
	parts map[int64][]byte
}

func (s *sparse) Size() int64 { return s.size }

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-off))
	clear(p[:n])
	for at, part := range s.parts {
		lo, hi := max(off, at), min(off+int64(n), at+int64(len(part)))
		if lo < hi {
			copy(p[lo-off:hi-off], part[lo-at:hi-at])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *sparse) NextExtent(off, n int64) (blockdev.Extent, error) {
	next := off + n
	for at, part := range s.parts {
		if end := at + int64(len(part)); at <= off && off < end {
			return blockdev.Extent{Off: off, Len: min(n, end-off)}, nil
		}
		if at > off {
			next = min(next, at)
		}
	}
	return blockdev.Extent{Off: off, Len: next - off, Kind: blockdev.Zero}, nil
}

// hostWorld is a mounted image.
type hostWorld struct{ root string }

func (h hostWorld) path(name string) string { return filepath.Join(h.root, name) }

func (h hostWorld) create(name string, mode filesys.Mode) error {
	f, err := os.OpenFile(h.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	return h.chmod(name, mode)
}

func (h hostWorld) write(name string, c *sparse) error {
	f, err := os.OpenFile(h.path(name), os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for at, part := range c.parts {
		if _, err := f.WriteAt(part, at); err != nil {
			return err
		}
	}
	return f.Truncate(c.size)
}

func (h hostWorld) mkdir(name string, mode filesys.Mode) error {
	if err := os.Mkdir(h.path(name), 0o700); err != nil {
		return err
	}
	return h.chmod(name, mode)
}

func (h hostWorld) symlink(name, target string) error { return os.Symlink(target, h.path(name)) }

func (h hostWorld) mknod(name string, mode filesys.Mode, major, minor uint32) error {
	if err := unix.Mknod(h.path(name), uint32(mode), int(unix.Mkdev(major, minor))); err != nil {
		return err
	}
	return h.chmod(name, mode)
}

func (h hostWorld) link(old, name string) error {
	return unix.Linkat(unix.AT_FDCWD, h.path(old), unix.AT_FDCWD, h.path(name), 0)
}
func (h hostWorld) rename(old, name string) error { return unix.Rename(h.path(old), h.path(name)) }
func (h hostWorld) remove(name string) error      { return os.Remove(h.path(name)) }
func (h hostWorld) chmod(name string, mode filesys.Mode) error {
	return unix.Chmod(h.path(name), uint32(mode.Perm()))
}

// chown keeps the set-id bits, which the system call would clear.
func (h hostWorld) chown(name string, uid, gid uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(h.path(name), &st); err != nil {
		return err
	}
	if err := unix.Lchown(h.path(name), int(uid), int(gid)); err != nil || filesys.Mode(st.Mode).IsSymlink() {
		return err
	}
	return h.chmod(name, filesys.Mode(st.Mode))
}

func (h hostWorld) utimes(name string, atime, mtime time.Time) error {
	ts := []unix.Timespec{{Sec: atime.Unix(), Nsec: int64(atime.Nanosecond())}, {Sec: mtime.Unix(), Nsec: int64(mtime.Nanosecond())}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, h.path(name), ts, unix.AT_SYMLINK_NOFOLLOW)
}

func (h hostWorld) setXattr(name, key string, value []byte) error {
	return unix.Lsetxattr(h.path(name), key, value, 0)
}
func (h hostWorld) removeXattr(name, key string) error { return unix.Lremovexattr(h.path(name), key) }

// editWorld is an editor.
type editWorld struct{ filesys.Editor }

func (w editWorld) node(name string) (filesys.Node, error) {
	n := w.Root()
	for _, part := range strings.Split(name, "/") {
		if part == "." || part == "" {
			continue
		}
		next, err := w.Lookup(n, part)
		if err != nil {
			return 0, err
		}
		n = next
	}
	return n, nil
}

func (w editWorld) parent(name string) (filesys.Node, string, error) {
	n, err := w.node(path.Dir(name))
	return n, path.Base(name), err
}

func (w editWorld) in(name string, f func(dir filesys.Node, base string) error) error {
	dir, base, err := w.parent(name)
	if err != nil {
		return err
	}
	return f(dir, base)
}

func (w editWorld) at(name string, f func(n filesys.Node) error) error {
	n, err := w.node(name)
	if err != nil {
		return err
	}
	return f(n)
}

func (w editWorld) create(name string, mode filesys.Mode) error {
	return w.in(name, func(dir filesys.Node, base string) error {
		_, err := w.Create(dir, base, filesys.NewAttr{Mode: mode})
		return err
	})
}

func (w editWorld) write(name string, c *sparse) error {
	return w.at(name, func(n filesys.Node) error { return w.WriteFile(n, c) })
}

func (w editWorld) mkdir(name string, mode filesys.Mode) error {
	return w.in(name, func(dir filesys.Node, base string) error {
		_, err := w.Mkdir(dir, base, filesys.NewAttr{Mode: mode})
		return err
	})
}

func (w editWorld) symlink(name, target string) error {
	return w.in(name, func(dir filesys.Node, base string) error {
		_, err := w.Symlink(dir, base, target, filesys.NewAttr{Mode: 0o777})
		return err
	})
}

func (w editWorld) mknod(name string, mode filesys.Mode, major, minor uint32) error {
	return w.in(name, func(dir filesys.Node, base string) error {
		_, err := w.Mknod(dir, base, filesys.NewAttr{Mode: mode}, major, minor)
		return err
	})
}

func (w editWorld) link(old, name string) error {
	return w.at(old, func(n filesys.Node) error {
		return w.in(name, func(dir filesys.Node, base string) error { return w.Link(n, dir, base) })
	})
}

func (w editWorld) rename(old, name string) error {
	return w.in(old, func(od filesys.Node, ob string) error {
		return w.in(name, func(nd filesys.Node, nb string) error { return w.Rename(od, ob, nd, nb) })
	})
}

func (w editWorld) remove(name string) error {
	return w.in(name, func(dir filesys.Node, base string) error { return w.Remove(dir, base) })
}

func (w editWorld) chmod(name string, mode filesys.Mode) error {
	return w.at(name, func(n filesys.Node) error { return w.SetAttr(n, filesys.SetAttr{Mode: &mode}) })
}

func (w editWorld) chown(name string, uid, gid uint32) error {
	return w.at(name, func(n filesys.Node) error { return w.SetAttr(n, filesys.SetAttr{UID: &uid, GID: &gid}) })
}

func (w editWorld) utimes(name string, atime, mtime time.Time) error {
	return w.at(name, func(n filesys.Node) error { return w.SetAttr(n, filesys.SetAttr{Atime: &atime, Mtime: &mtime}) })
}

func (w editWorld) setXattr(name, key string, value []byte) error {
	return w.at(name, func(n filesys.Node) error { return w.SetXattr(n, key, value) })
}

func (w editWorld) removeXattr(name, key string) error {
	return w.at(name, func(n filesys.Node) error { return w.RemoveXattr(n, key) })
}

// sameError reports whether two worlds agree about an operation: both did it,
// or both refused it for the same reason where there is a common name for it.
func sameError(kernel, ours error) error {
	if (kernel == nil) != (ours == nil) {
		return fmt.Errorf("the kernel says %v, we say %v", kernel, ours)
	}
	for _, e := range []error{fs.ErrNotExist, fs.ErrExist, filesys.ErrIsDir, filesys.ErrNotDir} {
		if errors.Is(kernel, e) != errors.Is(ours, e) {
			return fmt.Errorf("the kernel says %v, we say %v", kernel, ours)
		}
	}
	return nil
}

func TestSparseContent(t *testing.T) {
	s := &sparse{size: 10, parts: map[int64][]byte{3: []byte("abc")}}
	p := make([]byte, 10)
	if _, err := s.ReadAt(p, 0); err != nil || !bytes.Equal(p, []byte("\x00\x00\x00abc\x00\x00\x00\x00")) {
		t.Fatalf("%q, %v", p, err)
	}
}

// loopOf is the loop device that is mounted on dir.
func loopOf(t testing.TB, dir string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[1] == dir {
			return path.Base(f[0])
		}
	}
	t.Fatalf("%s is not mounted", dir)
	return ""
}

// noKernelErrors reads what the kernel logged about a device since it was
// mounted last.
func noKernelErrors(t testing.TB, device string) {
	t.Helper()
	lines := strings.Split(testtool.Run(t, "dmesg"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.Contains(lines[i], "XFS ("+device+")") {
			continue
		}
		for _, bad := range []string{"orrupt", "rror", "Shutting", "ssertion", "eservation", "ENOSPC"} {
			if strings.Contains(lines[i], bad) {
				t.Errorf("the kernel says: %s", lines[i])
			}
		}
		if strings.Contains(lines[i], "Mounting") {
			return
		}
	}
}
