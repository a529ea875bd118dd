//go:build linux

package xfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// shredded is one AG with n free extents and as many files' ones.
func shredded(t testing.TB, n int64) string {
	t.Helper()
	image := mkfsRow{args: "-b size=1024 -d agcount=1 -m rmapbt=1", size: 100 + n*2/1024}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	f, err := os.Create(filepath.Join(dir, "holes"))
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, n*2048)
	}
	for i := range n {
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, i*2048, 1024)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	testtool.Run(t, "xfs_io", "-f", "-c", "pwrite -q 0 5m", filepath.Join(dir, "cut0"), "-c", "fsync")
	unmount()
	return image
}

// TestShredded cuts a file with very many extents into nothing.
func TestShredded(t *testing.T) {
	t.Parallel()
	n := int64(3000)
	if testtool.All() {
		n = 150000
	}
	image := shredded(t, n)
	m := newMover(t, image)
	num := lookup(t, &tree{m.v}, "holes").num
	if err := m.stage.Do(func() error { return m.burst(num, 1000) }); err != nil {
		t.Fatal(err)
	}
	m.finish()
	m.write(image)
	checkRepair(t, image)
	m = newMover(t, image)
	if err := m.stage.Do(func() error { return m.cut(num) }); err != nil {
		t.Fatal(err)
	}
	m.finish()
	m.write(image)
	checkRepair(t, image)
	checkFree(t, image)
}

func BenchmarkShredded(b *testing.B) {
	image := shredded(b, 150000)
	for b.Loop() {
		m := newMover(b, image)
		if _, err := m.space.allocate(owner{ino: lookup(b, &tree{m.v}, "cut0").num}, 1<<20, 100); err != nil {
			b.Fatal(err)
		}
		m.finish()
	}
}
