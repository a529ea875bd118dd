//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// everyKind makes a filesystem that holds everything that one may hold.
func everyKind(t *testing.T, mkfs []string, size int64, p fsedittest.Populate) (img string) {
	t.Helper()
	img = fsedittest.NewImage(t, size)
	testtool.Run(t, mkfs[0], append(mkfs[1:], img)...)
	dir, unmount := fsedittest.Mount(t, img, "")
	p.Fill(t, dir)
	unmount()
	return img
}

// runTar is GNU tar with all that it can keep.
func runTar(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--warning=no-timestamp"}, args...)
	if out, err := testtool.Try(t, "tar", args...); err != nil || out != "" {
		t.Errorf("tar %v: %v\n%s", args, err, out)
	}
}

// noSockets is what a tree may lose in an archive.
func noSockets(p string) bool { return filepath.Base(p) == "socket" }

// TestTarOut archives a tree of every kind. GNU tar finds no difference to the
// kernel's mount, and what it unpacks is the tree. It needs root.
func TestTarOut(t *testing.T) {
	testtool.Need(t, "tar", "mke2fs", "mkfs.xfs", "mount")
	for _, test := range []struct {
		name string
		mkfs []string
		p    fsedittest.Populate
	}{
		{"ext4", []string{"mke2fs", "-q", "-F", "-t", "ext4", "-I", "512", "-N", "20000"}, fsedittest.Populate{Entries: 300}},
		{"xfs", []string{"mkfs.xfs", "-q"}, fsedittest.Populate{Entries: 300, SmallDevices: true, MaxXattr: 40000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			img := everyKind(t, test.mkfs, 400<<20, test.p)
			archive := filepath.Join(t.TempDir(), "tar")
			command(t, "tar-out", "-m", "/dev/sda", img, "/", "-o", archive)
			if again := command(t, "tar-out", "-m", "/dev/sda", img, "/"); again != readString(t, archive) {
				t.Error("a second run gave other bytes")
			}
			dir, unmount := fsedittest.Mount(t, img, "ro")
			runTar(t, "-df", archive, "-C", dir)
			want := fsedittest.ReadHost(t, dir)
			unmount()

			out := fsedittest.NewImage(t, 400<<20)
			testtool.Run(t, test.mkfs[0], append(test.mkfs[1:], out)...)
			dir, unmount = fsedittest.Mount(t, out, "")
			runTar(t, "-xpf", archive, "-C", dir)
			got := fsedittest.ReadHost(t, dir)
			unmount()
			fsedittest.Compare(t, want, got, fsedittest.Ignore{Blocks: true, Path: noSockets})
		})
	}
}

func readString(t *testing.T, path string) string {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// TestTarIn unpacks the archive of a tree of every kind into an empty filesystem.
// e2fsck and GNU tar find nothing, and the tree is the same. It needs root.
func TestTarIn(t *testing.T) {
	testtool.Need(t, "tar", "zstd", "mke2fs", "e2fsck", "mount")
	mkfs := []string{"mke2fs", "-q", "-F", "-t", "ext4", "-I", "512", "-N", "20000"}
	img := everyKind(t, mkfs, 400<<20, fsedittest.Populate{Entries: 300})
	archive := filepath.Join(t.TempDir(), "tar")
	command(t, "tar-out", "-m", "/dev/sda", img, "/", "-o", archive)
	dir, unmount := fsedittest.Mount(t, img, "ro")
	want := fsedittest.ReadHost(t, dir)
	old := filepath.Join(t.TempDir(), "old.tar") // what GNU tar makes of its own accord
	runTar(t, "-czSf", old, "-C", dir, "--format=gnu", "--no-xattrs", "--no-acls", "--exclude=socket", ".")
	unmount()

	out := fsedittest.NewImage(t, 400<<20)
	testtool.Run(t, mkfs[0], append(mkfs[1:], out)...)
	testtool.Run(t, "zstd", "-q", archive)
	command(t, "tar-in", "-m", "/dev/sda", out, "/", archive+".zst")
	checkUnpacked(t, out, archive, want, fsedittest.Ignore{Path: noSockets, Blocks: true})
	// Once more, over what is there.
	command(t, "tar-in", "-m", "/dev/sda", out, "/", archive)
	checkUnpacked(t, out, archive, want, fsedittest.Ignore{Path: noSockets, Blocks: true})

	out = fsedittest.NewImage(t, 400<<20)
	testtool.Run(t, mkfs[0], append(mkfs[1:], out)...)
	command(t, "tar-in", "-m", "/dev/sda", out, "/", old)
	fsedittest.CheckExt(t, out)
	dir, unmount = fsedittest.Mount(t, out, "ro")
	got := fsedittest.ReadHost(t, dir)
	unmount()
	for p, e := range want { // the format keeps no attributes and whole seconds
		e.Mtime, e.Xattrs = e.MtimeSec, nil
		want[p] = e
	}
	for p, e := range got {
		e.Mtime = e.MtimeSec
		got[p] = e
	}
	fsedittest.Compare(t, want, got, fsedittest.Ignore{Path: noSockets, Blocks: true})
}

func checkUnpacked(t *testing.T, img, archive string, want fsedittest.Tree, ign fsedittest.Ignore) {
	t.Helper()
	fsedittest.CheckExt(t, img)
	dir, unmount := fsedittest.Mount(t, img, "ro")
	runTar(t, "-df", archive, "-C", dir)
	got := fsedittest.ReadHost(t, dir)
	unmount()
	fsedittest.Compare(t, want, got, ign)
}
