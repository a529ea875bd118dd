//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestReflink converts on a file system whose files can share blocks: most of the
// disk is not copied, and is right all the same.
func TestReflink(t *testing.T) {
	testtool.Need(t, "mkfs.xfs", "mount", "umount", "qemu-img")
	image, dir := filepath.Join(t.TempDir(), "xfs"), t.TempDir()
	testtool.Run(t, "truncate", "-s", "400M", image)
	testtool.Run(t, "mkfs.xfs", "-q", "-m", "reflink=1", image)
	testtool.Run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { testtool.Run(t, "umount", dir) })

	const data = 20<<20 + 12_345
	raw := filepath.Join(dir, "disk.raw")
	f, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{4096, 33<<20 + 512} {
		if _, err := f.WriteAt(imagefmttest.Pattern(off, data, 6), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(90 << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	qcow2, back := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "back.raw")
	for _, args := range [][]string{{raw, "-O", "qcow2", "-o", qcow2}, {qcow2, "-O", "raw", "-o", back}} {
		r := try(t, append([]string{"convert", "--json"}, args...)...)
		var report convert.Report
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
		}
		if report.Shared < 2*data-300<<10 {
			t.Errorf("%v: only %d of %d bytes are shared", args, report.Shared, 2*data)
		}
	}
	testtool.Run(t, "qemu-img", "check", qcow2)
	testtool.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, qcow2)
	testtool.Run(t, "cmp", raw, back)
}
