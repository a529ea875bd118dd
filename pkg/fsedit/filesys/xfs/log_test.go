//go:build linux

package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// churn makes transactions of every kind: inodes come and go, directories and
// maps of files grow and shrink, attributes change.
func churn(t testing.TB, dir string, rounds int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	content := bytes.Repeat([]byte("\xfe\xed\xba\xbe\x00\x00\x00\x01"), 2048)
	for i := range rounds {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%5))
		must(os.RemoveAll(sub))
		must(os.MkdirAll(filepath.Join(sub, "x/y"), 0o755))
		for k := range 80 {
			name := filepath.Join(sub, fmt.Sprintf("file-%d-%d-%s", i, k, strings.Repeat("z", 60)))
			must(os.WriteFile(name, content[:k*97], 0o600))
		}
		must(os.Symlink(strings.Repeat("s", 200), filepath.Join(sub, "link")))
		must(os.Symlink(strings.Repeat("s", 900), filepath.Join(sub, "longlink")))
		must(os.Rename(filepath.Join(sub, "x/y"), filepath.Join(sub, "moved")))
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("sync%d", i%7)))
		must(err)
		for k := range int64(20 + i*3%50) {
			_, err = f.WriteAt(content[:4096], k*16384)
			must(err)
		}
		testtool.Run(t, "setfattr", "-n", "user.big", "-v", strings.Repeat("v", 100+i*37), f.Name())
		if i%3 == 0 {
			must(f.Sync())
		}
		must(f.Close())
	}
}

var logRows = []mkfsRow{
	{name: "default", args: "-l size=8m"},
	{name: "1k", args: "-b size=1024 -l size=4m", mount: "logbsize=256k"},
	{name: "rmapbt", args: "-m rmapbt=1 -l size=13m", mount: "logbsize=32k"},
	{name: "sunit", args: "-l sunit=64,size=10m"},
	{name: "sunit256k", args: "-l sunit=512,size=20m", mount: "logbsize=256k"},
	{name: "log4k", args: "-s size=4096 -l size=10m"},
	{name: "nobigtime", args: "-m bigtime=0,inobtcount=0 -l size=8m"},
	{name: "nrext64", args: "-i nrext64=1,size=1024 -l size=17m"},
	{name: "sparse0", args: "-i sparse=0 -m finobt=0 -l size=8m"},
}

// replayed opens a dirty image, and reads it.
func replayed(t testing.TB, image string) (*volume, *blockdev.Overlay, fsedittest.Tree) {
	t.Helper()
	o := fsedittest.OpenWritable(t, image)
	v := open(t, o)
	if !v.Info().Replayed {
		t.Fatal("the log was not dirty")
	}
	return v, o, fsedittest.ReadFS(t, &tree{v})
}

// compareWithKernel compares our replay of a dirty image with the kernel's, and
// lets the kernel and xfs_repair judge what we leave.
func compareWithKernel(t *testing.T, image string) {
	t.Helper()
	v, o, got := replayed(t, image)
	orphans, err := v.orphans()
	if err != nil {
		t.Fatal(err)
	}
	ours := fsedittest.CopyImage(t, image)
	fsedittest.Save(t, o, ours)
	free, err := v.FreeExtents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scribble(t, ours, free)
	if !orphans { // or the log is left to the guest
		checkRepair(t, ours)
		checkFree(t, ours)
		again := open(t, fsedittest.OpenImage(t, ours))
		if again.Info().Replayed {
			t.Error("the log is still dirty")
		}
	}
	dir, unmount := fsedittest.Mount(t, image, "")
	want := fsedittest.ReadHost(t, dir)
	unmount()
	fsedittest.Compare(t, want, got, kernelOnly)

	dir, unmount = fsedittest.Mount(t, ours, "")
	fsedittest.Compare(t, want, fsedittest.ReadHost(t, dir), fsedittest.Ignore{})
	churn(t, dir, 3)
	unmount()
	checkRepair(t, ours)
}

// TestReplay stops filesystems as a power cut does.
func TestReplay(t *testing.T) {
	for i, row := range logRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, row.mount)
			churn(t, dir, 15+i)
			how := "shutdown"
			if i%2 == 0 {
				how = "shutdown -f"
			}
			testtool.Run(t, "xfs_io", "-x", "-c", how, dir)
			unmount()
			compareWithKernel(t, image)
		})
	}
}

// TestReplayLive copies images while they are mounted, frozen or not, with a
// file that is open and deleted.
func TestReplayLive(t *testing.T) {
	for _, freeze := range []bool{true, false} {
		for _, orphan := range []bool{true, false} {
			t.Run(fmt.Sprintf("freeze=%v,orphan=%v", freeze, orphan), func(t *testing.T) {
				image := logRows[0].mkfs(t)
				dir, unmount := fsedittest.Mount(t, image, "")
				churn(t, dir, 12)
				if orphan {
					f, err := os.Create(filepath.Join(dir, "gone"))
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					f.Write(make([]byte, 100000))
					os.Remove(f.Name())
					defer f.Close()
					t.Cleanup(func() { f.Close() })
					copied := snapshot(t, image, dir, freeze)
					f.Close()
					unmount()
					compareWithKernel(t, copied)
					return
				}
				copied := snapshot(t, image, dir, freeze)
				unmount()
				compareWithKernel(t, copied)
			})
		}
	}
}

func snapshot(t *testing.T, image, dir string, freeze bool) string {
	t.Helper()
	if freeze {
		testtool.Run(t, "xfs_freeze", "-f", dir)
		defer testtool.Run(t, "xfs_freeze", "-u", dir)
	} else {
		testtool.Run(t, "sync", "-f", dir)
	}
	return fsedittest.CopyImage(t, image)
}

// TestReplayNeedsWritable: a dirty log over a device that cannot be written is
// refused in words.
func TestReplayNeedsWritable(t *testing.T) {
	image := logRows[0].mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	churn(t, dir, 2)
	testtool.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
	unmount()
	_, err := Driver{}.Open(t.Context(), []blockdev.Device{fsedittest.OpenImage(t, image)}, filesys.Options{})
	if !errors.Is(err, ondisk.ErrReadOnly) {
		t.Fatal(err)
	}
}
