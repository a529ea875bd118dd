//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
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
	writeOwners(t, dir)
	unmount()
	return img
}

// writeOwners gives the guest the names that GNU tar finds here for an ACL's ids.
func writeOwners(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/passwd", "etc/group"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(readString(t, "/"+name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
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
	for _, test := range filesystemKinds {
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

// filesystemKinds are those that are written, with what their trees may hold.
var filesystemKinds = []struct {
	name  string
	mkfs  []string
	p     fsedittest.Populate
	check func(t testing.TB, img string)
}{
	{"ext4", []string{"mke2fs", "-q", "-F", "-t", "ext4", "-I", "512", "-N", "20000"}, fsedittest.Populate{Entries: 100}, fsedittest.CheckExt},
	{"xfs", []string{"mkfs.xfs", "-q"}, fsedittest.Populate{Entries: 100, SmallDevices: true}, func(t testing.TB, img string) {
		t.Helper()
		if out, err := testtool.Try(t, "xfs_repair", "-n", img); err != nil {
			t.Errorf("xfs_repair -n: %v\n%s", err, out)
		}
	}},
}

// TestTarIn unpacks the archive of a tree of every kind into an empty filesystem.
// Its fsck and GNU tar find nothing, and the tree is the same: of our archive,
// again over what is there, and of GNU tar's own in two formats. It needs root.
func TestTarIn(t *testing.T) {
	testtool.Need(t, "tar", "zstd", "mke2fs", "e2fsck", "mkfs.xfs", "xfs_repair", "mount")
	for _, kind := range filesystemKinds {
		t.Run(kind.name, func(t *testing.T) {
			img := everyKind(t, kind.mkfs, 400<<20, kind.p)
			dir, unmount := fsedittest.Mount(t, img, "ro")
			want := fsedittest.ReadHost(t, dir)
			gnu, gnuPax := filepath.Join(t.TempDir(), "gnu.tgz"), filepath.Join(t.TempDir(), "pax.tar")
			runTar(t, "-czSf", gnu, "-C", dir, "--format=gnu", "--no-xattrs", "--no-acls", "--exclude=socket", ".")
			testtool.Run(t, "tar", "-cSf", gnuPax, "-C", dir, "--format=pax", "--xattrs", "--xattrs-include=*", "--acls", "--exclude=socket", ".")
			unmount()
			ours := filepath.Join(t.TempDir(), "tar")
			command(t, "tar-out", "-m", "/dev/sda", img, "/", "-o", ours)
			testtool.Run(t, "zstd", "-q", ours)

			out := unpackInto(t, kind.mkfs, ours+".zst")
			kind.check(t, out)
			fsedittest.Compare(t, want, unpackedTree(t, out, ours), ignoreSockets)
			command(t, "tar-in", "-m", "/dev/sda", out, "/", ours)
			kind.check(t, out)
			fsedittest.Compare(t, want, unpackedTree(t, out, ours), ignoreSockets)

			out = unpackInto(t, kind.mkfs, gnuPax)
			kind.check(t, out)
			fsedittest.Compare(t, want, unpackedTree(t, out, gnuPax), ignoreSockets)

			out = unpackInto(t, kind.mkfs, gnu)
			kind.check(t, out)
			fsedittest.Compare(t, withoutExtras(want), withoutExtras(unpackedTree(t, out, gnu)), ignoreSockets)
		})
	}
}

// ignoreSockets leaves out, too, how XFS stores an ACL that is compared by itself.
var ignoreSockets = fsedittest.Ignore{Path: noSockets, Blocks: true, Xattr: func(name string) bool {
	return strings.HasPrefix(name, "trusted.SGI_ACL_")
}}

// unpackInto unpacks an archive into a filesystem that is nearly empty.
func unpackInto(t *testing.T, mkfs []string, archive string) (img string) {
	t.Helper()
	img = fsedittest.NewImage(t, 400<<20)
	testtool.Run(t, mkfs[0], append(mkfs[1:], img)...)
	dir, unmount := fsedittest.Mount(t, img, "")
	writeOwners(t, dir)
	unmount()
	command(t, "tar-in", "-m", "/dev/sda", img, "/", archive)
	return img
}

// unpackedTree is the tree as the kernel mounts it, compared with the archive.
func unpackedTree(t *testing.T, img, archive string) fsedittest.Tree {
	t.Helper()
	dir, unmount := fsedittest.Mount(t, img, "ro")
	defer unmount()
	runTar(t, "-df", archive, "-C", dir)
	return fsedittest.ReadHost(t, dir)
}

// withoutExtras is what the formats before pax keep: no attributes, whole seconds.
func withoutExtras(tree fsedittest.Tree) fsedittest.Tree {
	out := fsedittest.Tree{}
	for p, e := range tree {
		e.Mtime, e.Xattrs = e.MtimeSec, nil
		out[p] = e
	}
	return out
}
