//go:build guests && linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const (
	livedInDisk    = 6 << 30 // bytes of the disk
	livedInVolume  = 5 << 30 // of its filesystem
	livedInLive    = 64 << 20
	livedInDeleted = 3 << 30
)

// TestGuestFreeSpace copies disks on which 3 GiB were written and deleted: what
// the filesystem calls free costs no time and no room, and every file is there.
func TestGuestFreeSpace(t *testing.T) {
	testtool.Need(t, "qemu-img", "sfdisk", "lvm", "mke2fs", "mkfs.xfs", "e2fsck", "xfs_repair")
	for _, c := range []struct {
		name, partition string
		start           int64 // of the filesystem, in bytes
		mkfs, check     []string
		prepare         func(t *testing.T, disk string)
	}{
		{"ext4", "start=2048, type=83", 1 << 20, []string{"mke2fs", "-q", "-t", "ext4"}, []string{"e2fsck", "-fn"}, func(*testing.T, string) {}},
		{"xfs-on-lvm", "start=2048, type=8e", 2 << 20, []string{"mkfs.xfs", "-q"}, []string{"xfs_repair", "-n"}, volumeGroup},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			disk := fsedittest.NewImage(t, livedInDisk)
			partitioned(t, disk, c.partition)
			c.prepare(t, disk)
			live := liveIn(t, disk, c.start, c.mkfs)

			theirs, ours := filepath.Join(dir, "theirs.qcow2"), filepath.Join(dir, "ours.qcow2")
			theirTime := timed(t, "qemu-img", "convert", "-O", "qcow2", disk, theirs)
			ourTime := timed(t, mustEnv(t, "VMCONV"), "convert", disk, "-O", "qcow2", "--drop-free", "-o", ours)
			t.Logf("qemu-img %d MiB in %v, vmconv %d MiB in %v", allocated(t, theirs)>>20, theirTime, allocated(t, ours)>>20, ourTime)
			if got := allocated(t, ours); float64(got) > 1.1*float64(live) {
				t.Errorf("%d MiB allocated for %d MiB of live data", got>>20, live>>20)
			}
			if allocated(t, theirs) < livedInDeleted || ourTime > theirTime/2 {
				t.Errorf("%v beside qemu-img's %v", ourTime, theirTime)
			}

			testtool.Run(t, "qemu-img", "check", ours)
			raw := filepath.Join(dir, "ours.raw")
			testtool.Run(t, "qemu-img", "convert", "-O", "raw", ours, raw)
			var want, got fsedittest.Tree
			onLoop(t, disk, c.start, livedInVolume, func(dev string) { want = treeOf(t, dev) })
			onLoop(t, raw, c.start, livedInVolume, func(dev string) {
				testtool.Run(t, c.check[0], c.check[1], dev)
				got = treeOf(t, dev)
			})
			fsedittest.Compare(t, want, got, fsedittest.Ignore{})
		})
	}
}

func partitioned(t *testing.T, disk, line string) {
	t.Helper()
	cmd := exec.Command("sfdisk", "-q", "--no-tell-kernel", disk)
	cmd.Stdin = strings.NewReader("label: dos\n" + line + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
}

// volumeGroup makes the disk's partition a physical volume with one logical
// volume, which begins at the first extent.
func volumeGroup(t *testing.T, disk string) {
	t.Helper()
	onLoop(t, disk, 1<<20, livedInDisk-1<<20, func(pv string) {
		conf := fmt.Sprintf(`devices { filter=["a|^%s$|","r|.*|"] global_filter=["a|^%s$|","r|.*|"] use_devicesfile=0 } backup { backup=0 archive=0 }`, pv, pv)
		for _, args := range [][]string{
			{"vgcreate", "vg", pv},
			{"lvcreate", "-y", "-an", "-Zn", "-Wn", "-n", "root", "-L", strconv.Itoa(livedInVolume) + "b", "vg"},
		} {
			testtool.Run(t, "lvm", append([]string{args[0], "--driverloaded", "n", "--config", conf}, args[1:]...)...)
		}
	})
}

// liveIn makes the filesystem, with files that stay and, between them, 3 GiB that
// are written and deleted. It returns the bytes in use.
func liveIn(t *testing.T, disk string, start int64, mkfs []string) (live int64) {
	t.Helper()
	onLoop(t, disk, start, livedInVolume, func(dev string) {
		testtool.Run(t, mkfs[0], append(mkfs[1:], dev)...)
		dir := t.TempDir()
		testtool.Run(t, "mount", dev, dir)
		defer testtool.Run(t, "umount", dir)
		live = writeAndDelete(t, dir)
	})
	return live
}

func writeAndDelete(t *testing.T, dir string) int64 {
	t.Helper()
	block := make([]byte, livedInLive/16)
	for i := range block {
		block[i] = byte(i>>12 + i + 1) // no page is zero
	}
	doomed, err := os.Create(filepath.Join(dir, "doomed"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range livedInDeleted / len(block) {
		if _, err := doomed.Write(block); err != nil {
			t.Fatal(err)
		}
		if i%48 == 0 {
			if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), block[i:], 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := doomed.Sync(); err != nil { // what was never on the disk could not be deleted from it
		t.Fatal(err)
	}
	doomed.Close()
	if err := os.Remove(doomed.Name()); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "sync", "-f", dir)
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// onLoop calls f with a loop device on a part of a disk.
func onLoop(t *testing.T, disk string, start, size int64, f func(dev string)) {
	t.Helper()
	dev := strings.TrimSpace(testtool.Run(t, "losetup", "--find", "--show",
		"--offset", strconv.FormatInt(start, 10), "--sizelimit", strconv.FormatInt(size, 10), disk))
	defer testtool.Run(t, "losetup", "--detach", dev)
	f(dev)
}

func treeOf(t *testing.T, volume string) fsedittest.Tree {
	t.Helper()
	dir := t.TempDir()
	options := "ro"
	if strings.TrimSpace(testtool.Run(t, "blkid", "-p", "-o", "value", "-s", "TYPE", volume)) == "xfs" {
		options = "ro,nouuid"
	}
	testtool.Run(t, "mount", "-o", options, volume, dir)
	defer testtool.Run(t, "umount", dir)
	return fsedittest.ReadHost(t, dir)
}

func timed(t *testing.T, program string, args ...string) time.Duration {
	t.Helper()
	start := time.Now()
	testtool.Run(t, program, args...)
	return time.Since(start)
}

func allocated(t *testing.T, file string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
