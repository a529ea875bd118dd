//go:build linux

package fsedittest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// Mount loop-mounts an image until the test ends or the function that it
// returns is called. It needs root. The options are those of mount(8), comma
// separated; "loop" is added.
func Mount(t testing.TB, image, options string) (dir string, unmount func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts an image and needs root")
	}
	dir = t.TempDir()
	if options != "" {
		options = "," + options
	}
	testtool.Run(t, "mount", "-o", "loop"+options, image, dir)
	mounted := true
	unmount = func() {
		if mounted {
			mounted = false
			umount(t, dir)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// umount tries again while the folder is busy: a child that another test is
// starting holds our open files for a moment, until it executes its program.
func umount(t testing.TB, dir string) {
	t.Helper()
	for try := 0; ; try++ {
		out, err := testtool.Try(t, "umount", dir)
		if err == nil {
			return
		}
		if try == 50 || !strings.Contains(out, "busy") {
			t.Errorf("umount %s: %v\n%s", dir, err, out)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// CheckExt fails the test unless e2fsck(8) finds nothing at all.
func CheckExt(t testing.TB, image string) {
	t.Helper()
	if out, err := testtool.Try(t, "e2fsck", "-fn", image); err != nil {
		t.Errorf("e2fsck -fn: %v\n%s", err, out)
	}
}
