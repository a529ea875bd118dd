//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// command runs the program in this process. No test that runs in parallel may
// start another one: until its exec it would hold the locks of our images.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, talk bytes.Buffer
	code := run(args, environment{
		stdin: bytes.NewReader(nil), stdout: &out, stderr: &talk,
		lookup: func(string) (string, bool) { return "", false },
	})
	if code != 0 {
		t.Fatalf("vmconv %v: exit code %d\n%s", args, code, talk.String())
	}
	return out.String()
}

// TestCpTree copies a folder that holds everything a folder may hold into an
// image and out again. The kernel's mount of the image and the folder that came
// out must both be what went in. It needs root.
func TestCpTree(t *testing.T) {
	testtool.Need(t, "mke2fs", "e2fsck", "mount")
	src := filepath.Join(t.TempDir(), "tree")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	// cp copies no extended attributes, as cp -r does not.
	fsedittest.Populate{Entries: 300, NoXattrs: true, NoACLs: true, Far: 8 << 20}.Fill(t, src)
	want := fsedittest.ReadHost(t, src)

	img := fsedittest.NewImage(t, 256<<20)
	testtool.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-N", "20000", img)
	command(t, "cp", "-r", "-m", "/dev/sda", src, img+":/")
	fsedittest.CheckExt(t, img)
	dir, unmount := fsedittest.Mount(t, img, "ro")
	mounted := fsedittest.ReadHost(t, filepath.Join(dir, "tree"))
	unmount()
	fsedittest.Compare(t, want, mounted, fsedittest.Ignore{Blocks: true})

	out := t.TempDir()
	command(t, "cp", "-r", "-m", "/dev/sda", img+":/tree", out)
	fsedittest.Compare(t, want, fsedittest.ReadHost(t, filepath.Join(out, "tree")), fsedittest.Ignore{Blocks: true})
}
