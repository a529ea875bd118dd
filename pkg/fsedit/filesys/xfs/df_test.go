//go:build linux

package xfs

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestSpace compares with statfs(2) on a mount that writes nothing.
func TestSpace(t *testing.T) {
	for _, row := range testtool.Some(4, mkfsRows) {
		image := row.mkfs(t)
		dir, unmount := fsedittest.Mount(t, image, "")
		row.fill(t, dir)
		unmount()
		dir, unmount = fsedittest.Mount(t, image, "ro")
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		unmount()
		want := filesys.Space{
			BlockSize: st.Bsize, Blocks: int64(st.Blocks), FreeBlocks: int64(st.Bfree), AvailBlocks: int64(st.Bavail),
			Inodes: int64(st.Files), FreeInodes: int64(st.Ffree),
		}
		if got := open(t, fsedittest.OpenImage(t, image)).Space(); got != want {
			t.Errorf("%s: space %+v, the kernel has %+v", row.name, got, want)
		}
	}
}
