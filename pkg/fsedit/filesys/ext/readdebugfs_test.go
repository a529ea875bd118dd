//go:build linux

package ext

import (
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// foreignRows are filesystems that the kernel of a test machine may not mount:
// blocks larger than its pages, and features that it was built without.
var foreignRows = []mkfsRow{
	{name: "64k", args: "-t ext4 -b 65536", size: 300},
	{name: "64k-i128", args: "-t ext2 -b 65536 -I 128", size: 300},
	{name: "casefold", args: "-t ext4 -O casefold -E encoding=utf8"},
	{name: "quota", args: "-t ext4 -b 1024 -O quota,project,verity,stable_inodes"},
}

// coarse leaves out what mke2fs -d and debugfs do not keep.
func coarse(in fsedittest.Tree, fields func(e *fsedittest.Entry)) fsedittest.Tree {
	out := fsedittest.Tree{}
	for p, e := range in {
		e.Mtime = 0
		if fields != nil {
			fields(&e)
		}
		out[p] = e
	}
	return out
}

var coarsely = fsedittest.Ignore{
	Blocks: true,
	Path:   func(p string) bool { return p == "." || p == "lost+found" || p == "nodes/socket" },
}

// TestForeignTree compares what we read with the folder that mke2fs copied, and
// with what debugfs reads, before and after e2fsck has built indexes.
func TestForeignTree(t *testing.T) {
	testtool.Need(t, "mke2fs", "debugfs", "e2fsck")
	source := t.TempDir()
	fsedittest.Populate{OldTimes: true, Entries: 400}.Fill(t, source)
	want := coarse(fsedittest.ReadHost(t, source), nil)
	for _, row := range foreignRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.args += " -d " + source
			image := row.mkfs(t)
			fsedittest.Compare(t, want, coarse(readImage(t, image), nil), coarsely)
			testtool.Try(t, "e2fsck", "-fyD", image)
			got := coarse(readImage(t, image), nil)
			fsedittest.Compare(t, want, got, coarsely)
			compareDebugfs(t, image, got)
		})
	}
}

// compareDebugfs dumps a whole image with debugfs, which makes no hard links.
func compareDebugfs(t *testing.T, image string, got fsedittest.Tree) {
	t.Helper()
	dir := t.TempDir()
	testtool.Run(t, "debugfs", "-R", "rdump / "+dir, image)
	plain := func(e *fsedittest.Entry) {
		e.Nlink, e.Xattrs, e.Mode = 0, nil, e.Mode&^0o7000
		if e.Mode.IsSymlink() {
			e.MtimeSec = 0
		}
	}
	ign := coarsely
	ign.Path = func(p string) bool { return coarsely.Path(p) || p == "nodes" || filepath.Dir(p) == "links" }
	fsedittest.Compare(t, coarse(fsedittest.ReadHost(t, dir), plain), coarse(got, plain), ign)
}
