//go:build linux

package fsedittest

import (
	"os"
	"testing"

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
			testtool.Run(t, "umount", dir)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// CheckExt fails the test unless e2fsck(8) finds nothing at all.
func CheckExt(t testing.TB, image string) {
	t.Helper()
	if out, err := testtool.Try(t, "e2fsck", "-fn", image); err != nil {
		t.Errorf("e2fsck -fn: %v\n%s", err, out)
	}
}
