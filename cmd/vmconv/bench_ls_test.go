//go:build bench && linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// manyFiles is what each of the two trees holds: one folder, and a thousand of them.
const manyFiles = 100_000

// TestBenchFiles is about filesystems of many files. The competitor is the kernel's own
// mount, with its caches warm. FAT has no row: not every kernel can mount it.
func TestBenchFiles(t *testing.T) {
	b := newBench(t)
	empty := b.empty(t)
	b.header()
	for _, kind := range []struct{ name, mkfs string }{
		{"ext4", "mke2fs -q -t ext4 -N 300000"},
		{"xfs", "mkfs.xfs -q"},
	} {
		image := fsedittest.NewImage(t, 2<<30)
		testtool.Run(t, "sh", "-c", kind.mkfs+" "+image)
		dir, unmount := fsedittest.Mount(t, image, "")
		fillMany(t, dir)
		unmount()
		dir, unmount = fsedittest.Mount(t, image, "ro")
		ours := func(command string) string { return fmt.Sprintf("%s %s %s -m sda", b.vmconv, command, image) }
		b.run(t, race{name: "cat of 200 000 files, " + kind.name, rounds: 7, ours: ours("cat") + " /one/000777", theirs: empty, slack: 20 * time.Millisecond})
		b.run(t, race{name: "ls of 200 000 files, " + kind.name, rounds: 7, ours: ours("ls") + " /tree/07/777", theirs: empty, slack: 20 * time.Millisecond})
		b.run(t, race{name: "ls of 100 000 names, " + kind.name, rounds: 7, ours: ours("ls") + " /one", theirs: "ls " + dir + "/one", limit: 1})
		b.run(t, race{name: "ls -lR of 200 000 files, " + kind.name, rounds: 3, ours: ours("ls -lR"), theirs: "ls -lR " + dir, limit: 3})
		unmount()
	}
}

// fillMany makes a folder of many files, and a tree of folders of a hundred.
func fillMany(t *testing.T, dir string) {
	t.Helper()
	file := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "one"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range manyFiles {
		file(fmt.Sprintf("one/%06d", i))
		folder := fmt.Sprintf("tree/%02d/%03d", i/10_000, i/100)
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		file(folder + fmt.Sprintf("/%02d", i%100))
	}
}
