//go:build linux

package xfs

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
	args     string // of mkfs.xfs
	mount    string // options
	size     int64  // MiB; 0 means 96
	populate fsedittest.Populate
}

var oldTimes = fsedittest.Populate{OldTimes: true}

var mkfsRows = []mkfsRow{
	{name: "default", args: ""},
	{name: "1k", args: "-b size=1024", populate: fsedittest.Populate{Entries: 6000}},
	{name: "2k-i1024", args: "-b size=2048 -i size=1024"},
	{name: "512-nofinobt", args: "-b size=1024 -m finobt=0,reflink=0 -i sparse=0"},
	{name: "i2048", args: "-i size=2048"},
	{name: "rmapbt", args: "-m rmapbt=1,reflink=1"},
	{name: "nobigtime", args: "-m bigtime=0,inobtcount=0", populate: oldTimes},
	{name: "nrext64", args: "-i nrext64=1"},
	{name: "nrext64-1k", args: "-b size=1024 -i nrext64=1 -m rmapbt=1"},
	{name: "sector4k", args: "-s size=4096"},
	{name: "dir8k", args: "-n size=8192"},
	{name: "dir64k-1k", args: "-b size=1024 -n size=65536"},
	{name: "sunit", args: "-d sunit=64,swidth=128 -l sunit=64"},
	{name: "ag8", args: "-d agcount=8", size: 160},
	{name: "rhel7", args: "-m finobt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0", populate: oldTimes},
}

func (r mkfsRow) mkfs(t testing.TB) string {
	t.Helper()
	size := r.size
	if size == 0 {
		size = 96
	}
	image := fsedittest.NewImage(t, size<<20)
	args := append([]string{"-q", "-f", "--unsupported"}, strings.Fields(r.args)...)
	testtool.Run(t, "mkfs.xfs", append(args, image)...)
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

// kernelOnly leaves out the second name by which the kernel lists an ACL.
var kernelOnly = fsedittest.Ignore{Xattr: func(name string) bool { return strings.HasPrefix(name, "trusted.SGI_ACL") }}

// fill makes a tree of every kind on a mounted image.
func (r mkfsRow) fill(t testing.TB, dir string) {
	t.Helper()
	p := r.populate
	if p.Entries == 0 {
		p.Entries = 500
	}
	p.MaxXattr, p.SmallDevices = 60000, true
	p.Fill(t, dir)
}

// TestKernelTree compares what we read with what the kernel shows.
func TestKernelTree(t *testing.T) {
	for _, row := range mkfsRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, row.mount)
			row.fill(t, dir)
			unmount()
			dir, unmount = fsedittest.Mount(t, image, "ro")
			want := fsedittest.ReadHost(t, dir)
			unmount()
			got := readImage(t, image)
			fsedittest.Compare(t, want, got, kernelOnly)
			checkFree(t, image)
		})
	}
}

// TestLargeTree is TestKernelTree with more than ten thousand files of every kind
// and a directory of 100 000 names.
func TestLargeTree(t *testing.T) {
	row := mkfsRow{args: "-m rmapbt=1", size: 640, populate: fsedittest.Populate{Entries: 3000}}
	large := 4000
	if testtool.All() {
		row.populate.Entries, large = 12000, 117000 // every seventh is removed again
	}
	image := row.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, row.mount)
	row.fill(t, dir)
	fsedittest.Names(t, dir, large)
	unmount()
	dir, unmount = fsedittest.Mount(t, image, "ro")
	want := fsedittest.ReadHost(t, dir)
	unmount()
	fsedittest.Compare(t, want, readImage(t, image), kernelOnly)
	checkFree(t, image)
}
