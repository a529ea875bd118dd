//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// result is how a vmconv of its own process ended.
type result struct {
	code           int // 128 and the number for one that a signal ended, as a shell tells
	stdout, stderr string
}

// program is a vmconv that runs as a process of its own: the binary that VMCONV
// names, or else this test.
func program(args ...string) *exec.Cmd {
	name := os.Getenv("VMCONV")
	if name == "" {
		name = "vmconv" // TestMain put it into PATH
	}
	return exec.Command(name, args...)
}

// under is vmconv started by another program: tool and its options.
func under(tool []string, args ...string) *exec.Cmd {
	line := append(append(slices.Clone(tool), program().Path), args...)
	return exec.Command(line[0], line[1:]...)
}

// try runs vmconv to its end.
func try(t testing.TB, args ...string) result {
	t.Helper()
	return wait(t, program(args...))
}

// wait runs a command to its end.
func wait(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var out, talk bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &talk
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{code: exitOf(cmd.ProcessState), stdout: out.String(), stderr: talk.String()}
	return r
}

func exitOf(p *os.ProcessState) int {
	if status, ok := p.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.ExitCode()
}

// wants fails the test unless vmconv ends with the code, and says all of the
// words on stderr.
func wants(t testing.TB, code int, args []string, words ...string) result {
	t.Helper()
	r := try(t, args...)
	if r.code != code {
		t.Fatalf("vmconv %s: exit code %d, not %d\n%s", strings.Join(args, " "), r.code, code, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("vmconv %s: nothing about %q in\n%s", strings.Join(args, " "), word, r.stderr)
		}
	}
	return r
}

// system is the files of the smallest thing that counts as a system, and more.
func system(more map[string][]byte) map[string][]byte {
	files := map[string][]byte{
		"etc/fstab":      []byte("/dev/sda1 / ext4 defaults 0 1\n"),
		"etc/os-release": []byte("ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
		"bin/sh":         nil,
	}
	for name, text := range more {
		files[name] = text
	}
	return files
}

// newDisk builds an image that holds files: of raw format, with one partition.
func newDisk(t testing.TB, size, kind string, files map[string][]byte) string {
	t.Helper()
	testtool.Need(t, "mke2fs", "sfdisk")
	tree := t.TempDir()
	for name, text := range files {
		path := filepath.Join(tree, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	img := filepath.Join(t.TempDir(), "disk.img")
	testtool.Run(t, "sh", "-c", diskScript, "sh", img, size, kind, tree)
	return img
}

// inFormat is a copy of a raw image in another format, in a folder of its own.
func inFormat(t testing.TB, raw, format string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "disk."+format)
	testtool.Run(t, "qemu-img", "convert", "-O", format, raw, out)
	return out
}

// judge lets the programs of others look at an image and the filesystem in its
// first partition.
func judge(t testing.TB, img, format string) {
	t.Helper()
	raw := img
	if format != "raw" {
		testtool.Run(t, "qemu-img", "check", "-q", "-f", format, img)
		raw = filepath.Join(t.TempDir(), "plain")
		testtool.Run(t, "qemu-img", "convert", "-f", format, "-O", "raw", img, raw)
		defer os.Remove(raw)
	}
	if out, err := testtool.Try(t, "e2fsck", "-fn", raw+"?offset=1048576"); err != nil {
		t.Errorf("%s: e2fsck -fn: %v\n%s", img, err, out)
	}
}

// alone fails the test when the folder of an image holds something besides.
func alone(t testing.TB, img string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(img))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(img) {
			t.Errorf("%s was left beside %s", e.Name(), img)
		}
	}
}

// stamp is content and time of a file: what must not change of a source.
func stamp(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x %v", sum.Sum(nil), info.ModTime())
}
