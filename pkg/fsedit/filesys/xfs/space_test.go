//go:build linux

package xfs

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// spaceRows are filesystems of which the kernel fills most.
var spaceRows = []mkfsRow{
	{name: "default"},
	{name: "noinobtcount", args: "-m inobtcount=0,bigtime=0"},
	{name: "64k-i2048", args: "-b size=65536 -i size=2048", size: 512},
	{name: "64k-rmapbt", args: "-b size=65536 -m rmapbt=1", size: 512},
	{name: "1k-rmapbt", args: "-b size=1024 -m rmapbt=1"},
	{name: "1k-ag1", args: "-b size=1024 -d agcount=1 -m reflink=0"},
	{name: "nofinobt", args: "-m finobt=0"},
	{name: "nosparse-rmapbt", args: "-i sparse=0 -m rmapbt=1"},
	{name: "rhel7", args: "-m finobt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0"},
	{name: "nrext64-i1024", args: "-i nrext64=1,size=1024 -m rmapbt=1"},
	{name: "ag3-1k", args: "-d agcount=3 -b size=1024", size: 100},
	{name: "ag16-rmapbt", args: "-d agcount=16 -m rmapbt=1", size: 256},
	{name: "rmapbt", args: "-m rmapbt=1"},
	{name: "sector4k-rmapbt", args: "-s size=4096 -m rmapbt=1"},
	{name: "sunit", args: "-d sunit=64,swidth=128 -m rmapbt=1"},
}

// fragment fills a mounted filesystem with small files, and removes every second.
func fragment(t testing.TB, dir string, n int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i/6))
		if i%6 == 0 {
			must(os.Mkdir(sub, 0o755))
		}
		p := bytes.Repeat([]byte{byte(i), byte(i >> 8), 'x'}, 200+i%13*900)
		must(os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), p, 0o644))
	}
	testtool.Run(t, "sync", "-f", dir)
	for i := 0; i < n; i += 2 {
		must(os.Remove(filepath.Join(dir, fmt.Sprintf("d%d/%d", i/6, i))))
	}
	big := filepath.Join(dir, "big")
	must(os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), 1<<17), 0o644))
}

// share makes reflinks, of whole files and of parts.
func share(t testing.TB, dir string) {
	t.Helper()
	for i := range 3 {
		testtool.Run(t, "cp", "--reflink=always", filepath.Join(dir, "big"), filepath.Join(dir, fmt.Sprintf("shared%d", i)))
	}
	for i := range 8 {
		testtool.Run(t, "xfs_io", "-c", fmt.Sprintf("pwrite -q %d 20000", i*150000), filepath.Join(dir, fmt.Sprintf("shared%d", i%2)))
	}
}

// tangle makes files that shuffle will cut: with many extents, with blocks that
// were never written, and with attributes of every form.
func tangle(t testing.TB, dir string) {
	t.Helper()
	for n, step := range []int{30000, 140000} {
		cmd := []string{"-f"}
		for i := range 400 >> (2 * n) {
			cmd = append(cmd, "-c", fmt.Sprintf("pwrite -q %d 1000", i*step))
		}
		testtool.Run(t, "xfs_io", append(cmd, "-c", "falloc 100000 200000", "-c", "fsync", filepath.Join(dir, fmt.Sprintf("cut%d", n)))...)
	}
	for i, n := range []int{100, 3000, 40000, 60000} {
		for k := range 12 {
			testtool.Run(t, "setfattr", "-n", fmt.Sprintf("user.a%d", k), "-v", strings.Repeat("v", n), filepath.Join(dir, fmt.Sprintf("cut%d", i%2)))
		}
	}
}

// sums lists the content of all files under a folder.
func sums(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(p)
		if strings.HasPrefix(d.Name(), "cut") {
			raw = nil
		}
		out[strings.TrimPrefix(p, dir)] = fmt.Sprintf("%x", md5.Sum(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMoving moves files and inodes about: xfs_repair(8) finds nothing, and the
// kernel the same files, and it can go on with the filesystem.
func TestMoving(t *testing.T) {
	for i, row := range testtool.Some(4, spaceRows) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, row.mount)
			fragment(t, dir, 900)
			if !strings.Contains(row.args, "reflink=0") && !strings.Contains(row.args, "crc=0") {
				share(t, dir)
			}
			tangle(t, dir)
			want := sums(t, dir)
			unmount()
			r := rand.New(rand.NewPCG(uint64(i), 5))
			for round := range 3 {
				m := newMover(t, image)
				if round == 1 {
					m.cutAll()
				}
				if done := m.shuffle(r, 120, nil); done < 20 {
					t.Errorf("only %d operations", done)
				}
				if err := m.stage.Do(func() error { return m.burst(m.v.super.RootIno, 150) }); err != nil {
					t.Error(err)
				}
				m.finish()
				m.write(image)
				checkRepair(t, image)
				checkFree(t, image)
			}
			useOn(t, image, row.mount, want)
		})
	}
}

// useOn mounts an image, compares its files, and makes and removes many.
func useOn(t testing.TB, image, options string, want map[string]string) {
	t.Helper()
	dir, unmount := fsedittest.Mount(t, image, options)
	got := sums(t, dir)
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s changed", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	sub := filepath.Join(dir, "more")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), make([]byte, i%9*1000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testtool.Run(t, "sync", "-f", dir)
	for i := 0; i < 1000; i += 3 {
		if err := os.Remove(filepath.Join(sub, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	checkRepair(t, image)
}
