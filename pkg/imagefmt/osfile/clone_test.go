package osfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// reflinkFolder is a folder on an XFS of its own, where files can share blocks.
func reflinkFolder(t *testing.T) string {
	t.Helper()
	testtool.Need(t, "mkfs.xfs", "mount", "umount")
	image, dir := filepath.Join(t.TempDir(), "xfs"), t.TempDir()
	testtool.Run(t, "truncate", "-s", "400M", image)
	testtool.Run(t, "mkfs.xfs", "-q", "-m", "reflink=1", image)
	testtool.Run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { testtool.Run(t, "umount", dir) })
	return dir
}

// TestClone: shared blocks hold what they should and take no room; where nothing
// can be shared, that is known beforehand, and asking all the same copies.
func TestClone(t *testing.T) {
	const size = 32 << 20
	content := imagefmttest.Pattern(0, size, 4)
	for _, tt := range []struct {
		name, dir string
		can       bool
	}{{"xfs", reflinkFolder(t), true}, {"other", t.TempDir(), false}} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(tt.dir, "source")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			src, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			e, err := blockdev.NextExtent(src, 0, size)
			if err != nil {
				t.Fatal(err)
			}
			before, err := FreeSpace(tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			out, err := Create(filepath.Join(tt.dir, "out"), CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if can := out.CanClone(*e.Host); can != tt.can && tt.can {
				t.Errorf("CanClone = %v", can)
			}
			if err := out.CloneAt(*e.Host, 1<<20, size); err != nil {
				t.Fatal(err)
			}
			if err := out.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(tt.dir, "out"))
			if err != nil || string(got[1<<20:]) != string(content) {
				t.Errorf("%d bytes differ from the source, %v", len(got), err)
			}
			if after, _ := FreeSpace(tt.dir); tt.can && before-after > size/4 {
				t.Errorf("%d bytes were taken for blocks that are shared", before-after)
			}
		})
	}
}
