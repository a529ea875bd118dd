//go:build guests && linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// These tests convert the real guests of scripts/guests and start them under
// QEMU. VMCONV names the binary, VMCONV_GUESTS the folder of the guests. A guest
// passes when it says itself, on its serial console, that it is well.

// TestGuestConvert converts each guest by the one command of the README, checks
// everything about the output that can be checked without starting it, and
// starts it.
func TestGuestConvert(t *testing.T) {
	testtool.Need(t, "qemu-img", "e2fsck", "qemu-system-x86_64")
	for _, g := range []struct {
		name    string
		start   int64 // of the root partition, in MiB
		root    string
		actions string
		want    []string
	}{
		{"mbr", 1, "/dev/vda1", "update-initramfs", []string{"swap=/dev/vda2", "update-initramfs=ok"}},
		{"gpt", 2, "/dev/vda2", "", []string{"fstype=ext3"}},
		{"bare", 0, "/dev/vda", "", nil},
		{"dirty", 1, "/dev/vda1", "", nil},
		{"twokernels", 1, "/dev/vda1", "boot-other", []string{"boot-other="}},
	} {
		t.Run(g.name, func(t *testing.T) {
			src := guestImage(t, g.name)
			dir := t.TempDir()
			out := filepath.Join(dir, g.name+".qcow2")
			before := stamp(t, src)
			report := convertGuest(t, "--to", "kvm", "-o", out, src)
			if after := stamp(t, src); after != before {
				t.Errorf("the source was changed: %s, then %s", before, after)
			}
			testtool.Run(t, "qemu-img", "check", out)
			testtool.Run(t, "virt-xml-validate", strings.TrimSuffix(out, ".qcow2")+".xml", "domain")
			checkFiles(t, src, out, g.start, report)
			args := []string{out, "--write"}
			if g.actions != "" {
				args = append(args, "--actions", g.actions)
			}
			if g.name == "bare" {
				args = append(args, direct(out)...)
			}
			checkReport(t, boot(t, args...), append(g.want, "root="+g.root))
		})
	}
}

// TestGuestInPlace converts a copy where it lies, and starts it.
func TestGuestInPlace(t *testing.T) {
	src := guestImage(t, "mbr")
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			img := filepath.Join(t.TempDir(), "guest."+format)
			testtool.Run(t, "qemu-img", "convert", "-O", format, src, img)
			report := convertGuest(t, "--in-place", img, "--to", "kvm", "-f", format)
			checkTrees(t, src, img, 1, report)
			if format == "qcow2" {
				testtool.Run(t, "qemu-img", "check", img)
				checkReport(t, boot(t, img), []string{"root=/dev/vda1"})
			}
		})
	}
}

func guestImage(t *testing.T, name string) string {
	t.Helper()
	img, err := filepath.EvalSymlinks(filepath.Join(mustEnv(t, "VMCONV_GUESTS"), name+".img"))
	if err != nil {
		t.Fatalf("%v: run scripts/guests", err)
	}
	return img
}

func convertGuest(t *testing.T, args ...string) convert.Report {
	t.Helper()
	cmd := exec.Command(mustEnv(t, "VMCONV"), append([]string{"convert", "--json"}, args...)...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	var r convert.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// checkFiles compares source and output by their files, and by their size.
func checkFiles(t *testing.T, src, out string, start int64, r convert.Report) {
	live := checkTrees(t, src, out, start, r)
	var st syscall.Stat_t
	if err := syscall.Stat(out, &st); err != nil {
		t.Fatal(err)
	}
	allocated := st.Blocks * 512
	t.Logf("%d MiB allocated for %d MiB of live data", allocated>>20, live>>20)
	if float64(allocated) > 1.10*float64(live) {
		t.Errorf("%d MiB allocated, more than 1.10 of the guest's %d MiB of live data", allocated>>20, live>>20)
	}
}

// checkTrees takes the root filesystems out of both images, lets e2fsck judge the
// new one, and compares what the kernel sees in them: nothing but the declared
// changes may differ. It returns the bytes in use of the source's.
func checkTrees(t *testing.T, src, out string, start int64, r convert.Report) (live int64) {
	t.Helper()
	old, changed := partition(t, src, start), partition(t, out, start)
	fsedittest.CheckExt(t, changed)
	oldDir, unmountOld := fsedittest.Mount(t, old, "") // the kernel replays its journal
	defer unmountOld()
	newDir, unmountNew := fsedittest.Mount(t, changed, "ro")
	defer unmountNew()
	want, got := fsedittest.ReadHost(t, oldDir), fsedittest.ReadHost(t, newDir)
	for _, c := range r.Changes {
		declare(t, want, got, c)
	}
	fsedittest.Compare(t, want, got, fsedittest.Ignore{Blocks: true})
	var st syscall.Statfs_t
	if err := syscall.Statfs(oldDir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// declare makes a declared change on the tree that is expected. Only content and
// times of a modified file may have changed; owner, mode, links and attributes
// are compared.
func declare(t *testing.T, want, got fsedittest.Tree, c convert.ChangeReport) {
	p := strings.TrimPrefix(c.Path, "/")
	old, seen := want[p], got[p]
	switch c.Kind {
	case edit.Modify:
		old.Size, old.Hash, old.Mtime, old.MtimeSec, old.Blocks = seen.Size, seen.Hash, seen.Mtime, seen.MtimeSec, seen.Blocks
		want[p] = old
		return
	case edit.Remove:
		delete(want, p)
	default:
		want[p] = seen
	}
	parent := path.Dir(p)
	dir := want[parent]
	dir.Mtime, dir.MtimeSec = got[parent].Mtime, got[parent].MtimeSec
	if c.Kind == edit.Mkdir {
		dir.Nlink++
	}
	want[parent] = dir
}

// partition copies what begins at a MiB of an image to a file of its own, up to
// the end of its filesystem.
func partition(t *testing.T, img string, start int64) string {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	testtool.Run(t, "qemu-img", "convert", "-O", "raw", img, raw)
	out := filepath.Join(t.TempDir(), "part.raw")
	testtool.Run(t, "dd", "if="+raw, "of="+out, "bs=1M", "skip="+strconv.FormatInt(start, 10), "conv=sparse", "status=none")
	os.Remove(raw)
	return out
}

// boot starts an image and returns the guest's report.
func boot(t *testing.T, args ...string) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "console")
	cmd := exec.Command(filepath.Join("..", "..", "scripts", "boot"), append(args, "--log", log, "--timeout", "600")...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	console, _ := os.ReadFile(log)
	t.Logf("%s", text)
	return string(console)
}

// direct are the options of a start with the kernel that lies beside the disk, as
// the description names it.
func direct(out string) []string {
	stem := strings.TrimSuffix(out, ".qcow2")
	xml, err := os.ReadFile(stem + ".xml")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(xml), "<cmdline>")
	args, _, _ := strings.Cut(rest, "</cmdline>")
	return []string{"--kernel", stem + ".vmlinuz", "--initrd", stem + ".initrd", "--append", args}
}

// checkReport wants every report of the guest to be good: its root device, its
// address, no failed unit.
func checkReport(t *testing.T, console string, want []string) {
	t.Helper()
	want = append(want, "eth0=10.0.2.15/24", "failed=0", "console=", "ttyS0")
	for _, word := range want {
		if !strings.Contains(console, word) {
			t.Errorf("the guest did not report %s", word)
		}
	}
	for line := range strings.Lines(console) {
		if strings.Contains(line, "GUEST-REPORT") && (!strings.Contains(line, "failed=0") || strings.Contains(line, "=FAIL")) {
			t.Errorf("the guest is not well: %s", line)
		}
	}
}

// TestGuestAgain converts what was converted: nothing is left to change, and the
// copy has the same bytes.
func TestGuestAgain(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.qcow2"), filepath.Join(dir, "second.qcow2")
	convertGuest(t, guestImage(t, "gpt"), "--to", "kvm", "-o", first)
	if r := convertGuest(t, first, "--to", "kvm", "-o", second); len(r.Changes) > 0 {
		t.Errorf("changed again: %v", r.Changes)
	}
	testtool.Run(t, "cmp", first, second)
}
