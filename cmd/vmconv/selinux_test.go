//go:build linux

package main

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// put makes a file and the folders that it lies in.
func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// policy puts the file contexts of Debian into a guest, and gives their path.
func policy(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, "etc/selinux/default/contexts/files")
	const from = "../../pkg/fsedit/selinux/testdata"
	for _, name := range []string{"file_contexts", "file_contexts.homedirs"} {
		f, err := os.Open(filepath.Join(from, name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		put(t, filepath.Join(dir, name), string(text))
	}
	put(t, filepath.Join(dir, "file_contexts.subs_dist"), readString(t, filepath.Join(from, "file_contexts.subs_dist")))
	put(t, filepath.Join(root, "etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=default\n")
	return filepath.Join(dir, "file_contexts")
}

// What cp, tar-in and edit put into an SELinux guest has, under the kernel's own
// mount, the label that libselinux finds in the guest's policy; what was there
// keeps its own. It needs root.
func TestLabelsOnExt(t *testing.T) {
	testtool.Need(t, "mke2fs", "mount", "setfattr", "getfattr", "matchpathcon", "tar")
	tree := t.TempDir()
	file := policy(t, tree)
	put(t, filepath.Join(tree, "etc/os-release"), "ID=debian\n")
	put(t, filepath.Join(tree, "etc/fstab"), "/dev/sda / ext4 defaults 0 1\n")
	put(t, filepath.Join(tree, "srv/kept"), "old")
	put(t, filepath.Join(tree, "tmp/x"), "")
	img := fsedittest.NewImage(t, 64<<20)
	testtool.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, img)
	dir, unmount := fsedittest.Mount(t, img, "")
	testtool.Run(t, "setfattr", "-n", "security.selinux", "-v", "system_u:object_r:shadow_t:s0", filepath.Join(dir, "srv/kept"))
	testtool.Run(t, "setfattr", "-n", "security.selinux", "-v", "system_u:object_r:tmp_t:s0", filepath.Join(dir, "tmp"))
	unmount()

	in := t.TempDir()
	put(t, filepath.Join(in, "www/index.html"), "hello")
	put(t, filepath.Join(in, "kept"), "new")
	put(t, filepath.Join(in, "raw"), "new")
	if err := os.Symlink("index.html", filepath.Join(in, "www/link")); err != nil {
		t.Fatal(err)
	}
	command(t, "cp", "-m", "/dev/sda", "-r", filepath.Join(in, "www"), img+":/srv")
	command(t, "cp", "-m", "/dev/sda", filepath.Join(in, "kept"), img+":/srv/kept")
	command(t, "cp", "-m", "/dev/sda", filepath.Join(in, "raw"), img+":/tmp/raw")
	put(t, filepath.Join(in, "etc/ssh/sshd_config"), "Port 22\n")
	put(t, filepath.Join(in, "usr/bin/tool"), "#!/bin/sh\n")
	put(t, filepath.Join(in, "own"), "")
	testtool.Run(t, "setfattr", "-n", "security.selinux", "-v", "system_u:object_r:own_t:s0", filepath.Join(in, "own"))
	archive := filepath.Join(t.TempDir(), "tar")
	testtool.Run(t, "tar", "-C", in, "--xattrs", "--xattrs-include=security.selinux", "-cf", archive, "etc", "usr/bin/tool", "own")
	command(t, "tar-in", "-m", "/dev/sda", img, "/", archive)
	dry := command(t, "edit", "-m", "/dev/sda", img, "/etc/fstab", "-e", "s/defaults/noatime/", "-b", ".orig", "--dry-run")
	if !strings.Contains(dry, "/etc/fstab.orig: labelled system_u:object_r:etc_t:s0") {
		t.Errorf("the dry run shows no label:\n%s", dry)
	}
	command(t, "edit", "-m", "/dev/sda", img, "/etc/fstab", "-e", "s/defaults/noatime/", "-b", ".orig")

	fsedittest.CheckExt(t, img)
	dir, unmount = fsedittest.Mount(t, img, "ro")
	defer unmount()
	label := func(p string) string {
		out, _ := testtool.Try(t, "getfattr", "-h", "--only-values", "--absolute-names", "-n", "security.selinux", filepath.Join(dir, p))
		return out
	}
	for p, kind := range map[string]string{
		"/srv/www": "dir", "/srv/www/index.html": "file", "/srv/www/link": "lnk_file", "/etc/ssh": "dir", "/etc/ssh/sshd_config": "file",
		"/usr": "dir", "/usr/bin": "dir", "/usr/bin/tool": "file", "/etc/fstab.orig": "file",
	} {
		want := strings.TrimSpace(testtool.Run(t, "matchpathcon", "-n", "-f", file, "-m", kind, p))
		if got := label(p); got != want+"\x00" {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	for p, want := range map[string]string{
		"/srv/kept": "system_u:object_r:shadow_t:s0", "/own": "system_u:object_r:own_t:s0", "/tmp/raw": "system_u:object_r:tmp_t:s0",
	} {
		if got := strings.TrimSuffix(label(p), "\x00"); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	for _, p := range []string{"/etc", "/etc/fstab", "/srv", "/etc/os-release"} {
		if got := label(p); !strings.Contains(got, "No such attribute") {
			t.Errorf("%s was labelled: %q", p, got)
		}
	}
}
