//go:build linux

package ext

import (
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// mkfsRow is one way to make a filesystem that this kernel mounts.
type mkfsRow struct {
	name     string
	args     string // of mke2fs
	mount    string // options
	size     int64  // MiB; 0 means 48
	populate fsedittest.Populate
}

var mkfsRows = []mkfsRow{
	{name: "ext4", args: "-t ext4"},
	{name: "ext4-1k", args: "-t ext4 -b 1024", populate: fsedittest.Populate{Entries: 3000}},
	{name: "ext4-2k-i512", args: "-t ext4 -b 2048 -I 512"},
	{name: "ext2", args: "-t ext2 -I 128", populate: fsedittest.Populate{OldTimes: true}},
	{name: "ext2-1k", args: "-t ext2 -b 1024 -O ^dir_index"},
	{name: "ext2-rev0", args: "-t ext2 -r 0 -b 1024", populate: fsedittest.Populate{OldTimes: true, NoXattrs: true}},
	{name: "ext3", args: "-t ext3 -I 128", populate: fsedittest.Populate{OldTimes: true}},
	{name: "ext3-1k", args: "-t ext3 -b 1024", populate: fsedittest.Populate{Entries: 3000, Far: 5 << 30}},
	{name: "uninit_bg", args: "-t ext4 -O ^metadata_csum,uninit_bg"},
	{name: "centos6", args: "-t ext4 -O ^metadata_csum,uninit_bg,^64bit,^flex_bg -I 256"},
	{name: "i128", args: "-t ext4 -I 128", populate: fsedittest.Populate{OldTimes: true}},
	{name: "no64bit", args: "-t ext4 -O ^64bit"},
	{name: "noextent", args: "-t ext4 -O ^extent,^64bit"},
	{name: "noflex", args: "-t ext4 -O ^flex_bg"},
	{name: "meta_bg", args: "-t ext4 -O meta_bg,^resize_inode -b 1024"},
	{name: "bigalloc", args: "-t ext4 -O bigalloc -C 65536", size: 256},
	{name: "bigalloc-1k", args: "-t ext4 -O bigalloc -b 1024 -C 8192", size: 96},
	{name: "inline", args: "-t ext4 -O inline_data"},
	{name: "inline-i1024", args: "-t ext4 -O inline_data -I 1024 -b 1024"},
	{name: "csum_seed", args: "-t ext4 -O metadata_csum_seed"},
	{name: "orphan_file", args: "-t ext4 -O orphan_file"},
	{name: "fast_commit", args: "-t ext4 -O fast_commit"},
	{name: "ea_inode", args: "-t ext4 -O ea_inode", populate: fsedittest.Populate{MaxXattr: 40000}},
	{name: "large_dir", args: "-t ext4 -O large_dir -b 1024"},
	{name: "sparse_super2", args: "-t ext4 -O sparse_super2"},
	{name: "nodir_index", args: "-t ext4 -O ^dir_index"},
	{name: "nofiletype", args: "-t ext4 -O ^filetype"},
	{name: "nojournal", args: "-t ext4 -O ^has_journal"},
	{name: "mmp", args: "-t ext4 -O mmp"},
	{name: "groups300", args: "-t ext4 -b 1024 -g 512 -O ^resize_inode", size: 150},
	{name: "lazy", args: "-t ext4 -E lazy_itable_init=1"},
	{name: "encrypt", args: "-t ext4 -O encrypt"},
	{name: "tiny", args: "-t ext4 -N 6000", size: 20},
}

func (r mkfsRow) mkfs(t testing.TB) string {
	t.Helper()
	size := r.size
	if size == 0 {
		size = 48
	}
	image := fsedittest.NewImage(t, size<<20)
	args := append([]string{"-q", "-F"}, strings.Fields(r.args)...)
	testtool.Run(t, "mke2fs", append(args, image)...)
	return image
}

func open(t testing.TB, dev blockdev.Device) *volume {
	t.Helper()
	v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v.(*volume)
}

func readImage(t testing.TB, image string) fsedittest.Tree {
	t.Helper()
	return fsedittest.ReadFS(t, &tree{open(t, fsedittest.OpenImage(t, image))})
}

// TestKernelTree compares what we read with what the kernel shows.
func TestKernelTree(t *testing.T) {
	for _, row := range testtool.Some(12, mkfsRows) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, row.mount)
			if row.populate.Entries == 0 {
				row.populate.Entries = 800
			}
			row.populate.Fill(t, dir)
			unmount()
			dir, unmount = fsedittest.Mount(t, image, "ro")
			want := fsedittest.ReadHost(t, dir)
			unmount()
			fsedittest.Compare(t, want, readImage(t, image), fsedittest.Ignore{})
		})
	}
}

// TestLargeTree is TestKernelTree with more than ten thousand files of every kind
// and a directory of 100 000 names.
func TestLargeTree(t *testing.T) {
	row := mkfsRow{args: "-t ext4 -N 200000", size: 512, populate: fsedittest.Populate{Entries: 3000}}
	large := 4000
	if testtool.All() {
		row.populate.Entries, large = 12000, 117000 // every seventh is removed again
	}
	image := row.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, row.mount)
	row.populate.Fill(t, dir)
	fsedittest.Names(t, dir, large)
	unmount()
	dir, unmount = fsedittest.Mount(t, image, "ro")
	want := fsedittest.ReadHost(t, dir)
	unmount()
	fsedittest.Compare(t, want, readImage(t, image), fsedittest.Ignore{})
}
