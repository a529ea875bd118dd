//go:build linux

package bootcheck

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/drivers"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestGRUBReads asks GRUB's own reader which filesystems it knows.
func TestGRUBReads(t *testing.T) {
	testtool.Need(t, "grub-fstest", "mke2fs", "mkfs.xfs")
	dir, proto := t.TempDir(), filepath.Join(t.TempDir(), "proto")
	must(t, os.WriteFile(filepath.Join(dir, "hello"), []byte("hello"), 0o644))
	must(t, os.WriteFile(proto, []byte("/\n0 0\nd--755 0 0\nhello ---644 0 0 "+filepath.Join(dir, "hello")+"\n$\n"), 0o644))
	ext := func(args ...string) []string {
		return append([]string{"mke2fs", "-q", "-F", "-t", "ext4", "-d", dir}, args...)
	}
	xfs := func(args ...string) []string { return append([]string{"mkfs.xfs", "-q", "-p", proto}, args...) }
	for name, command := range map[string][]string{
		"ext4":                    ext(),
		"64bit":                   ext("-O", "64bit,metadata_csum,large_dir,metadata_csum_seed"),
		"inline_data":             ext("-O", "inline_data"),
		"ea_inode":                ext("-O", "ea_inode"),
		"casefold":                ext("-O", "casefold", "-E", "encoding=utf8"),
		"bigalloc":                ext("-O", "bigalloc"),
		"encrypt":                 ext("-O", "encrypt,quota"),
		"xfs":                     xfs(),
		"xfs, newest":             xfs("-m", "bigtime=1,rmapbt=1,reflink=1,inobtcount=1", "-i", "nrext64=1"),
		"xfs, old":                xfs("-m", "crc=0"),
		"xfs, old, small letters": xfs("-m", "crc=0", "-n", "version=ci"),
		"xfs, small letters":      xfs("-n", "version=ci"),
	} {
		t.Run(name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "fs")
			f, err := os.Create(image)
			must(t, err)
			must(t, f.Truncate(320<<20))
			must(t, f.Close())
			testtool.Run(t, command[0], append(command[1:], image)...)
			printed, err := testtool.Try(t, "grub-fstest", image, "cat", "(loop0)/hello")
			want := err == nil && printed == "hello"
			kind, features := opened(t, image)
			got := grubRejected(kind, features) == ""
			if got != want {
				t.Errorf("%s with %q: we say %t, GRUB %t: %s", kind, features, got, want, printed)
			}
		})
	}
}

// opened is the type and the features of a filesystem.
func opened(t *testing.T, image string) (string, []string) {
	t.Helper()
	all := drivers.Default()
	dev := fsedittest.OpenImage(t, image)
	c, err := drivers.Identify(all, dev)
	must(t, err)
	v, err := c.Driver.Open(context.Background(), []blockdev.Device{dev}, filesys.Options{})
	must(t, err)
	return c.Type, v.Info().Features
}
