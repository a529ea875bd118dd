//go:build linux

package ext

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
)

// scribble fills ranges of an image with garbage.
func scribble(t testing.TB, image string, ranges []filesys.Range) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	garbage := make([]byte, 1<<20)
	for i := range garbage {
		garbage[i] = byte(i>>3 ^ i | 1)
	}
	end := int64(0)
	for _, r := range ranges {
		if r.Off < end || r.Len <= 0 {
			t.Fatalf("range %d+%d after %d", r.Off, r.Len, end)
		}
		end = r.Off + r.Len
		for off := r.Off; off < end; off += int64(len(garbage)) {
			if _, err := f.WriteAt(garbage[:min(int64(len(garbage)), end-off)], off); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFreeExtents fills what is said to be free with garbage: neither fsck nor
// the kernel may notice. And it must be all: what statfs(2) counts.
func TestFreeExtents(t *testing.T) {
	rows := []string{"ext4", "ext2-1k", "ext2-rev0", "ext3", "uninit_bg", "noflex", "meta_bg", "bigalloc-1k", "sparse_super2", "groups300", "tiny"}
	for _, row := range mkfsRows {
		if !slices.Contains(rows, row.name) {
			continue // bitmaps are no different there
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, row.mount)
			p := row.populate
			p.Entries, p.Far = 300, 0
			p.Fill(t, dir)
			unmount()
			dir, unmount = fsedittest.Mount(t, image, "ro")
			want := fsedittest.ReadHost(t, dir)
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			unmount()

			v := open(t, fsedittest.OpenImage(t, image))
			checkSpace(t, v.Space(), st)
			free, err := v.FreeExtents(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checkFreeBytes(t, v, free)
			scribble(t, image, free)
			fsedittest.CheckExt(t, image)
			dir, _ = fsedittest.Mount(t, image, "")
			fsedittest.Compare(t, want, fsedittest.ReadHost(t, dir), fsedittest.Ignore{})
		})
	}
}

func checkSpace(t *testing.T, got filesys.Space, st unix.Statfs_t) {
	t.Helper()
	want := filesys.Space{
		BlockSize: st.Bsize, Blocks: int64(st.Blocks), FreeBlocks: int64(st.Bfree), AvailBlocks: int64(st.Bavail),
		Inodes: int64(st.Files), FreeInodes: int64(st.Ffree),
	}
	if got != want {
		t.Errorf("space %+v, the kernel has %+v", got, want)
	}
}

func checkFreeBytes(t *testing.T, v *volume, free []filesys.Range) {
	t.Helper()
	var n int64
	for _, r := range free {
		n += r.Len
	}
	want := v.Space().FreeBlocks * v.blockSize
	if v.hasCompat(fcHasJournal) {
		j, err := v.openJournal()
		if err != nil {
			t.Fatal(err)
		}
		want += j.in.size(v) - v.blockSize
	}
	if n != want {
		t.Errorf("%d bytes are free, want %d", n, want)
	}
}
