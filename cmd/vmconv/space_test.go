//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// smallDisk mounts a file system of so many bytes. It needs root.
func smallDisk(t testing.TB, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a tmpfs and needs root")
	}
	dir := t.TempDir()
	testtool.Run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "vmconv-test", dir)
	t.Cleanup(func() { testtool.Run(t, "umount", dir) })
	return dir
}

// TestFullDisk lets every command that writes run out of space: exit code 6, and
// nothing is left.
func TestFullDisk(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain.img")
	if err := os.WriteFile(plain, noise(30<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	img := newDisk(t, "64M", "ext4", system(map[string][]byte{"srv/big": noise(30 << 20)}))
	dir := smallDisk(t, 20<<20)
	for _, c := range []struct {
		what string
		args []string
		word string
	}{
		{"told before", []string{"convert", plain, "-O", "qcow2", "-o", dir + "/out.qcow2"}, "may be needed than"},
		{"told before, raw", []string{"convert", plain, "-O", "raw", "-o", dir + "/out.raw"}, "may be needed than"},
		{"in the middle", []string{"convert", plain, "-c", "-o", dir + "/out.qcow2"}, "no space left"},
		{"cp out", []string{"cp", img + ":/srv/big", dir + "/big"}, "no space left"},
		{"cp -r out", []string{"cp", "-r", img + ":/srv", dir + "/srv"}, "no space left"},
		{"cat -o", []string{"cat", "-o", dir + "/big", img, "/srv/big"}, "no space left"},
	} {
		t.Run(c.what, func(t *testing.T) {
			wants(t, 6, c.args, c.word)
			if left := leftIn(t, dir); left != "" {
				t.Errorf("left behind: %s", left)
				testtool.Run(t, "sh", "-c", "rm -r "+dir+"/*")
			}
		})
	}
}

// TestFullDiskInPlace changes an image that lies where there is no room for the
// log: it stays as it was, to the byte.
func TestFullDiskInPlace(t *testing.T) {
	src := newDisk(t, "64M", "ext4", system(map[string][]byte{"etc/motd": noise(15 << 20)}))
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, noise(15<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			img := filepath.Join(smallDisk(t, 32<<20), "disk."+format)
			testtool.Run(t, "qemu-img", "convert", "-O", format, src, img)
			before := stamp(t, img)
			wants(t, 6, []string{"cp", big, img + ":/srv"}, "free")
			wants(t, 6, []string{"edit", img, "/etc/motd", "-e", "s/[a-z]/x/g"}, "free")
			if after := stamp(t, img); after != before {
				t.Errorf("the image changed: %s, then %s", before, after)
			}
			alone(t, img)
		})
	}
}

// TestFullTemp changes more than fits into memory while there is no room for the
// rest of it in TMPDIR.
func TestFullTemp(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, noise(100<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	img := newDisk(t, "200M", "ext4", system(nil))
	before := stamp(t, img)
	tmp := smallDisk(t, 2<<20)
	cmd := program("cp", big, img+":/srv")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if r := wait(t, cmd); r.code != 6 || !strings.Contains(r.stderr, "no space left") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	if after := stamp(t, img); after != before {
		t.Errorf("the image changed: %s, then %s", before, after)
	}
	if left := leftIn(t, tmp); left != "" {
		t.Errorf("left in TMPDIR: %s", left)
	}
	alone(t, img)
	// With room it works, and leaves nothing in TMPDIR either.
	cmd = program("cp", big, img+":/srv")
	tmp = t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if r := wait(t, cmd); r.code != 0 || leftIn(t, tmp) != "" {
		t.Errorf("exit code %d, left: %s\n%s", r.code, leftIn(t, tmp), r.stderr)
	}
	judge(t, img, "raw")
}
