//go:build linux

package fsedittest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ReadHost walks a folder of the host, mostly a mounted image, as the kernel
// shows it. It does not enter other filesystems.
func ReadHost(t testing.TB, root string) Tree {
	t.Helper()
	tree := Tree{}
	hashes := map[uint64]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		e, err := hostEntry(p, hashes)
		tree[rel] = e
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func hostEntry(p string, hashes map[uint64]string) (Entry, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return Entry{}, &os.PathError{Op: "lstat", Path: p, Err: err}
	}
	e := Entry{
		Mode: filesys.Mode(st.Mode), UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink),
		MtimeSec: st.Mtim.Sec, Mtime: st.Mtim.Sec*1e9 + st.Mtim.Nsec, Blocks: st.Blocks,
	}
	var err error
	switch {
	case e.Mode.IsDevice():
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case e.Mode.IsRegular():
		e.Size = st.Size
		e.Hash, err = hostHash(p, st.Ino, st.Nlink > 1, hashes)
	case e.Mode.IsSymlink():
		e.Size = st.Size
		e.Target, err = os.Readlink(p)
	}
	if err != nil {
		return e, err
	}
	e.Xattrs, err = hostXattrs(p)
	return e, err
}

func hostHash(p string, ino uint64, linked bool, hashes map[uint64]string) (string, error) {
	if h, ok := hashes[ino]; ok && linked {
		return h, nil
	}
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, err := hashFile(f)
	hashes[ino] = h
	return h, err
}

// hashFile leaves out what the kernel calls a hole.
func hashFile(f *os.File) (string, error) {
	c := newContent()
	for end := int64(0); ; {
		start, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return c.String(), nil
		}
		if err != nil {
			return "", err
		}
		hole, err := f.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return "", err
		}
		start = max(end, ondisk.AlignDown(start, hashPage))
		end, err = alignEnd(f, hole)
		if err != nil {
			return "", err
		}
		if err := c.add(f, start, end-start); err != nil {
			return "", err
		}
	}
}

// alignEnd is hole rounded up to a page, but not beyond the end of f.
func alignEnd(f *os.File, hole int64) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return min(ondisk.AlignUp(hole, hashPage), st.Size()), nil
}

func hostXattrs(p string) (map[string]string, error) {
	out := map[string]string{}
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, list)
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: p, Err: err}
	}
	value := make([]byte, 64<<10)
	for _, name := range strings.Split(string(list[:n]), "\x00") {
		if name == "" {
			continue
		}
		m, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return nil, &os.PathError{Op: "getxattr " + name, Path: p, Err: err}
		}
		out[name] = string(value[:m])
	}
	return out, nil
}
