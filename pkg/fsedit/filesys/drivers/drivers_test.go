package drivers

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func made(t *testing.T, tool string, args ...string) []byte {
	img := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(img, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, tool, append(args, img)...)
	p, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIdentify(t *testing.T) {
	for _, c := range []struct {
		disk   []byte
		typ    string
		driver string
	}{
		{made(t, "mke2fs", "-q", "-t", "ext4"), "ext4", "ext"},
		{made(t, "mke2fs", "-q", "-t", "ext3"), "ext3", "ext"},
		{made(t, "mke2fs", "-q", "-t", "ext2"), "ext2", "ext"},
		{made(t, "mkswap", "-q"), "swap", "swap"},
		{made(t, "mkfs.vfat"), "vfat", "fat"},
		{made(t, "mkfs.ntfs", "-q", "-F", "-f"), "ntfs", ""},
		{made(t, "mkfs.exfat"), "exfat", ""},
		{make([]byte, 1<<20), "", ""},
		{nil, "", ""},
	} {
		got, err := Identify(Default(), blockdev.FromBytes(c.disk))
		if err != nil {
			t.Fatal(err)
		}
		driver := ""
		if got.Driver != nil {
			driver = got.Driver.Name()
		}
		if got.Type != c.typ || driver != c.driver {
			t.Errorf("%q by %q, not %q by %q", got.Type, driver, c.typ, c.driver)
		}
	}
}

func TestConflicts(t *testing.T) {
	p := made(t, "mke2fs", "-q", "-t", "ext4")
	for _, want := range [][]string{nil, {"xfs"}} {
		dev := blockdev.FromBytes(p)
		c, err := Identify(Default(), dev)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Conflicts(Default(), dev, c)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, not %q (%v)", got, want, err)
		}
		copy(p, "XFSB")
	}
}
