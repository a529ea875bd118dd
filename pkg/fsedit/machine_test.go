package fsedit_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const mib = 1 << 20

// ext is an ext4 filesystem of n MiB that mke2fs made of files.
func ext(t testing.TB, n int, files map[string]string, args ...string) []byte {
	t.Helper()
	dir, img := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(img, make([]byte, n*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "mke2fs", append([]string{"-q", "-F", "-t", "ext4", "-d", dir, img}, args...)...)
	return readAll(t, img)
}

func swap(t testing.TB, n int) []byte {
	img := filepath.Join(t.TempDir(), "swap")
	if err := os.WriteFile(img, make([]byte, n*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "mkswap", "-q", img)
	return readAll(t, img)
}

func readAll(t testing.TB, p string) []byte {
	t.Helper()
	data, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// disk lays the parts out behind an MBR, each at a MiB.
func disk(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	testtool.Need(t, "sfdisk")
	size := mib
	var script strings.Builder
	script.WriteString("label: dos\n")
	for _, p := range parts {
		size += len(p)
		script.WriteString("size=" + strconv.Itoa(len(p)/mib) + "M\n")
	}
	img := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(img, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "-q", "--no-tell-kernel", img)
	cmd.Stdin = strings.NewReader(script.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out := readAll(t, img)
	at := mib
	for _, p := range parts {
		at += copy(out[at:], p)
	}
	return out
}

func open(t testing.TB, opts fsedit.Options, disks ...[]byte) (*fsedit.Machine, error) {
	t.Helper()
	var devices []blockdev.Device
	for _, d := range disks {
		devices = append(devices, blockdev.NewOverlay(blockdev.FromBytes(d), blockdev.OverlayOptions{}))
	}
	return fsedit.Open(context.Background(), devices, opts)
}

func mustOpen(t testing.TB, opts fsedit.Options, disks ...[]byte) *fsedit.Machine {
	t.Helper()
	m, err := open(t, opts, disks...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rootFiles(fstab string) map[string]string {
	return map[string]string{"etc/fstab": fstab, "bin": "-> usr/bin", "usr/bin/sh": "x", "etc/hosts": "", "boot/README": "hidden"}
}

func cat(t testing.TB, m *fsedit.Machine, p string) string {
	t.Helper()
	text, err := guest.ReadFile(m.Tree, p, mib)
	if err != nil {
		t.Errorf("%v", err)
	}
	return string(text)
}

func TestOpenPartitions(t *testing.T) {
	d := disk(t, ext(t, 8, map[string]string{"vmlinuz": "kernel"}), ext(t, 16, rootFiles("/dev/xvda2 / ext4\n/dev/xvda1 /boot ext4\n/dev/xvdb1 /data ext4\n")), swap(t, 4))
	data := disk(t, ext(t, 8, map[string]string{"x": "data"}))
	m := mustOpen(t, fsedit.Options{Level: guest.Mounts}, d, data)
	if m.Facts.Root != "sda2" || cat(t, m, "/boot/vmlinuz") != "kernel" || cat(t, m, "/data/x") != "data" {
		t.Errorf("%+v", m.Facts)
	}
	if got := len(m.Facts.Filesystems); got != 4 {
		t.Errorf("%d filesystems", got)
	}
}

func TestOpenBare(t *testing.T) {
	for _, name := range []string{"/dev/xvda", "/dev/xvda1", "/dev/sda1"} {
		m := mustOpen(t, fsedit.Options{Level: guest.Mounts}, ext(t, 8, rootFiles(name+" / ext4\n")))
		if m.Facts.Root != "sda" || m.Facts.Mounts[0].Volume != "sda" || len(m.Facts.Warnings) > 0 || cat(t, m, "/boot/README") != "hidden" {
			t.Errorf("%s: %+v", name, m.Facts)
		}
	}
}

func TestMountsByHand(t *testing.T) {
	d := disk(t, ext(t, 8, map[string]string{"x": "1"}), ext(t, 8, map[string]string{"y": "2"}), swap(t, 4))
	m := mustOpen(t, fsedit.Options{Level: guest.Mounts, Mounts: []string{"/dev/sda1", "sda2:/mnt"}}, d)
	if cat(t, m, "/x") != "1" || cat(t, m, "/mnt/y") != "2" {
		t.Error("wrong files")
	}
	uuid := m.Facts.Filesystems[1].UUID
	m = mustOpen(t, fsedit.Options{Mounts: []string{"UUID=" + uuid + ":/a/b"}}, d)
	if cat(t, m, "/a/b/y") != "2" {
		t.Error("wrong file")
	}
	if _, err := open(t, fsedit.Options{Mounts: []string{"sda7"}}, d); err == nil {
		t.Error("a volume that is not there was mounted")
	}
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts}, d)
	if _, err := m.Tree.Stat("/x"); err == nil || !strings.Contains(err.Error(), "no system was found") {
		t.Errorf("%v", err)
	}
}

func TestAmbiguous(t *testing.T) {
	d := disk(t, ext(t, 8, rootFiles("")), ext(t, 8, rootFiles("")))
	if _, err := open(t, fsedit.Options{Level: guest.Mounts}, d); !errors.Is(err, ondisk.ErrAmbiguous) {
		t.Errorf("%v", err)
	}
	if m := mustOpen(t, fsedit.Options{Level: guest.Mounts, Root: "sda2"}, d); m.Facts.Root != "sda2" {
		t.Errorf("%q", m.Facts.Root)
	}
}

func sum(r []filesys.Range) (n int64) {
	for _, x := range r {
		n += x.Len
	}
	return n
}

// TestFreeExtents overwrites what is said to be free: what fsck and the files see
// stays the same.
func TestFreeExtents(t *testing.T) {
	root := ext(t, 16, rootFiles("/dev/sda1 / ext4\n"))
	d := disk(t, root, swap(t, 4))
	m := mustOpen(t, fsedit.Options{}, d)
	free, kept, err := m.FreeExtents(context.Background(), 0)
	if err != nil || sum(free) < 10*mib || len(kept) > 0 {
		t.Fatalf("%d bytes free, %v, %q", sum(free), err, kept)
	}
	last := int64(mib)
	for _, r := range free {
		if r.Off < last || r.Len <= 0 || r.Off+r.Len > int64(len(d)) {
			t.Fatalf("free %+v after %d", r, last)
		}
		last = r.Off + r.Len
		for i := r.Off; i < last; i++ {
			d[i] = 0xaa
		}
	}
	img := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(img, d[mib:mib+len(root)], 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "e2fsck", "-fn", img)
	if id := testtool.Run(t, "blkid", "-p", "-O", strconv.Itoa(mib+len(root)), "-o", "value", "-s", "TYPE", writeFile(t, d)); strings.TrimSpace(id) != "swap" {
		t.Errorf("swap became %q", id)
	}
}

func writeFile(t testing.TB, data []byte) string {
	p := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(p, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestNoFreeExtentsInDoubt: what may have another owner is not free.
func TestNoFreeExtentsInDoubt(t *testing.T) {
	second := disk(t, ext(t, 8, nil))
	copy(second[mib:], "XFSB")
	small := disk(t, ext(t, 8, nil))
	small[446+12], small[446+13] = 0, 0x10 // the partition ends inside its filesystem
	overlap := disk(t, ext(t, 8, nil), swap(t, 4))
	copy(overlap[462+8:462+12], overlap[446+8:446+12])
	table := ext(t, 8, nil)
	copy(table[440:512], overlap[440:512])
	for name, d := range map[string][]byte{"second signature": second, "too small": small, "overlap": overlap, "rests of a table": table} {
		m := mustOpen(t, fsedit.Options{}, d)
		free, kept, err := m.FreeExtents(context.Background(), 0)
		if err != nil || len(free) > 0 || len(kept) == 0 {
			t.Errorf("%s: %v, %v, kept %q", name, free, err, kept)
		}
	}
}

// BenchmarkCat is what reading one file costs, from the open disk on. Its
// budget is 2 ms.
func BenchmarkCat(b *testing.B) {
	d := disk(b, ext(b, 32, rootFiles("/dev/sda1 / ext4\n")), swap(b, 4))
	for b.Loop() {
		m := mustOpen(b, fsedit.Options{Level: guest.Mounts}, d)
		cat(b, m, "/etc/fstab")
	}
}

// TestIOFSOverExt lets the standard library judge a real filesystem.
func TestIOFSOverExt(t *testing.T) {
	m := mustOpen(t, fsedit.Options{}, ext(t, 8, rootFiles("")))
	v, err := m.Filesystem("sda")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := v.Root("")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(filesys.IOFS(tree), "etc/fstab", "bin", "usr/bin/sh", "lost+found"); err != nil {
		t.Error(err)
	}
}
