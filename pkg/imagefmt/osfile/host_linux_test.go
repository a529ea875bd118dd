package osfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func TestHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	want := make([]byte, 1<<20+77)
	copy(want[256<<10:], imagefmttest.Pattern(0, 64<<10, 1))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Truncate(int64(len(want)))
	f.WriteAt(want[256<<10:320<<10], 256<<10)
	f.Close()
	src, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	imagefmttest.Device(t, src, want)
	var data int64
	for e, err := range blockdev.Extents(t.Context(), src, 0, src.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == blockdev.Data {
			data += e.Len
			if e.Host == nil || e.Host.Off != e.Off {
				t.Errorf("data at %d lies at %v", e.Off, e.Host)
			}
		}
	}
	if data != 64<<10 {
		t.Errorf("%d bytes of data, want 64 KiB (does this file system know holes?)", data)
	}
}

func TestAccessTimeStays(t *testing.T) {
	path := filepath.Join(tree(t, "a.img"), "a.img")
	long := time.Unix(1e9, 0)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	src.ReadAt(make([]byte, 5), 0)
	info, _ := os.Stat(path)
	if at := info.Sys().(*syscall.Stat_t).Atim; at.Sec != 1e9 {
		t.Errorf("the access time moved to %v", time.Unix(at.Unix()))
	}
}

func TestOpenRefusesSpecialFiles(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", "/dev/null"} {
		if _, err := Open(path, Options{}); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("Open(%s): %v", path, err)
		}
	}
	src, err := Open(filepath.Join(tree(t, "top", "zero -> /dev/zero"), "top"), Options{Siblings: Anywhere})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.Sibling("zero"); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("a link to /dev/zero: %v", err)
	}
}

// wantUse checks what Open and Txn.File say about a file: in use or not.
func wantUse(t *testing.T, path string, reading, writing bool) {
	t.Helper()
	src, err := Open(path, Options{})
	if errors.Is(err, ondisk.ErrInUse) != reading || (err != nil) != reading {
		t.Errorf("Open: %v; want in use: %v", err, reading)
	}
	if err == nil {
		src.Close()
	}
	txn := Begin(TxnOptions{})
	_, err = txn.File(t.Context(), path)
	if errors.Is(err, ondisk.ErrInUse) != writing || (err != nil) != writing {
		t.Errorf("Txn.File: %v; want in use: %v", err, writing)
	}
	if err := txn.Close(); err != nil {
		t.Error(err)
	}
}

// TestQemuHasIt: what QEMU writes to cannot be read, what it reads cannot be
// written.
func TestQemuHasIt(t *testing.T) {
	testtool.Need(t, "qemu-io", "qemu-img", "qemu-system-x86_64")
	for _, c := range []struct {
		name    string
		command []string
		writes  bool
	}{
		{"io rw", []string{"qemu-io", "-f", "FORMAT", "FILE"}, true},
		{"io ro", []string{"qemu-io", "-r", "-f", "FORMAT", "FILE"}, false},
		{"system", []string{"qemu-system-x86_64", "-S", "-display", "none", "-accel", "tcg", "-monitor", "stdio",
			"-drive", "file=FILE,format=FORMAT,if=virtio"}, true},
	} {
		for _, format := range []string{"raw", "qcow2"} {
			t.Run(c.name+" "+format, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "a.img")
				testtool.Run(t, "qemu-img", "create", "-q", "-f", format, path, "1M")
				wantUse(t, path, false, false)
				sign := int64(usedBase + permRead)
				if c.writes {
					sign = usedBase + permWrite
				}
				stop := hold(t, path, sign, strings.NewReplacer("FILE", path, "FORMAT", format), c.command)
				wantUse(t, path, c.writes, true)
				stop()
				wantUse(t, path, false, false)
			})
		}
	}
}

// hold runs a program with an open standard input, and returns when it has a lock
// on the byte sign of the file for good: QEMU opens an image more than once.
func hold(t *testing.T, path string, sign int64, words *strings.Replacer, command []string) (stop func()) {
	t.Helper()
	for i := range command {
		command = append(command[:i:i], append([]string{words.Replace(command[i])}, command[i+1:]...)...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(stop)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tries, seen := 0, 0; tries < 500; tries++ {
		if seen++; probeLocks(f, sign) == nil {
			seen = 0
		}
		if seen == 15 {
			return stop
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%v did not lock %s", command, path)
	return nil
}

// TestQemuStaysOut: QEMU does not open what is changed, nor write to what is
// read; reading together is fine.
func TestQemuStaysOut(t *testing.T) {
	testtool.Need(t, "qemu-io", "qemu-img")
	path := filepath.Join(t.TempDir(), "a.qcow2")
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
	write := func() (string, error) { return testtool.Try(t, "qemu-io", "-f", "qcow2", "-c", "write 0 512", path) }
	read := func() (string, error) {
		return testtool.Try(t, "qemu-io", "-r", "-f", "qcow2", "-c", "read 0 512", path)
	}
	expect := func(what string, run func() (string, error), fails bool) {
		t.Helper()
		out, err := run()
		if locked := err != nil && strings.Contains(out, "lock"); locked != fails || (err != nil) != fails {
			t.Errorf("%s: %v, %s; want it locked out: %v", what, err, out, fails)
		}
	}
	src, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	expect("QEMU writes while we read", write, true)
	expect("QEMU reads while we read", read, false)
	wantUse(t, path, false, true)
	src.Close()

	txn := Begin(TxnOptions{})
	if _, err := txn.File(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	expect("QEMU writes while we change", write, true)
	expect("QEMU reads while we change", read, true)
	wantUse(t, path, true, true)
	txn.Close()
	expect("QEMU writes after us", write, false)
}

// TestAnotherWriter: a program that locks nothing is noticed as well.
func TestAnotherWriter(t *testing.T) {
	path := filepath.Join(tree(t, "a.img"), "a.img")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantUse(t, path, true, true)
	f.Close()
	wantUse(t, path, false, false)
}

// loop attaches a file to a loop device; this needs root.
func loop(t *testing.T, path string) (dev string) {
	t.Helper()
	testtool.Need(t, "losetup")
	if os.Geteuid() != 0 {
		t.Fatal("this test attaches loop devices and needs root")
	}
	out, err := testtool.Try(t, "losetup", "--find", "--show", path)
	if err != nil {
		t.Fatalf("losetup: %v, %s", err, out)
	}
	dev = strings.TrimSpace(out)
	t.Cleanup(func() { testtool.Try(t, "losetup", "-d", dev) })
	return dev
}

// TestMounted: neither the file under a loop device nor a mounted block device
// is touched.
func TestMounted(t *testing.T) {
	testtool.Need(t, "mke2fs", "mount")
	dir := t.TempDir()
	path, mnt := filepath.Join(dir, "fs.img"), filepath.Join(dir, "mnt")
	testtool.Run(t, "mke2fs", "-q", path, "4M")
	dev := loop(t, path)
	wantUse(t, path, true, true)
	src, err := Open(dev, Options{})
	if err != nil {
		t.Fatalf("a loop device that nobody uses: %v", err)
	}
	if src.Size() != 4<<20 {
		t.Errorf("size of %s: %d", dev, src.Size())
	}
	src.Close()
	os.Mkdir(mnt, 0o755)
	testtool.Run(t, "mount", dev, mnt)
	defer testtool.Run(t, "umount", mnt)
	if _, err := Open(dev, Options{}); !errors.Is(err, ondisk.ErrInUse) {
		t.Errorf("Open of a mounted device: %v", err)
	}
	if _, err := Create(dev, CreateOptions{Overwrite: true}); !errors.Is(err, ondisk.ErrInUse) {
		t.Errorf("Create on a mounted device: %v", err)
	}
}

func TestBlockDeviceAsOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dev.img")
	const size = 1 << 20
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xA5}, size), 0o644); err != nil {
		t.Fatal(err)
	}
	dev := loop(t, path)
	if _, err := Create(dev, CreateOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a device that holds something: %v", err)
	}
	for _, commit := range []bool{false, true} {
		out, err := Create(dev, CreateOptions{Overwrite: true})
		if err != nil {
			t.Fatal(err)
		}
		if out.Zeroed() || out.Truncate(size) != nil || !errors.Is(out.Truncate(size+1), ondisk.ErrNoSpace) {
			t.Error("a device is zeroed, or has no size of its own")
		}
		want := imagefmttest.Pattern(0, 10_000, 5)
		for at := 0; at < len(want); at += 1000 {
			if _, err := out.WriteAt(want[at:at+1000], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := out.WriteAt([]byte("xx"), size-1); !errors.Is(err, ondisk.ErrNoSpace) {
			t.Errorf("a write over the end: %v", err)
		}
		if commit {
			err = out.Commit(t.Context())
		} else {
			err = out.Abort()
			clear(want[:headSize])
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(dev)
		if err != nil || !bytes.Equal(got[:len(want)], want) || got[len(want)] != 0xA5 {
			t.Errorf("commit %v: the device holds something else (%v)", commit, err)
		}
	}
	txn := Begin(TxnOptions{})
	defer txn.Close()
	if _, err := txn.File(t.Context(), dev); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("a transaction on a block device: %v", err)
	}
}
