//go:build linux

package ext

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// encrypt gives an empty directory a policy of fscrypt with a key of our own.
func encrypt(t *testing.T, mount, dir string) {
	t.Helper()
	testtool.Need(t, "xfs_io")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("vmconv!!"), 8), 0o600); err != nil {
		t.Fatal(err)
	}
	added := testtool.Run(t, "sh", "-c", fmt.Sprintf("xfs_io -c add_enckey %q <%q", mount, key))
	words := strings.Fields(added)
	testtool.Run(t, "xfs_io", "-c", "set_encpolicy -v 2 "+words[len(words)-1], dir)
}

// TestEncrypted: without a key a tree can be listed, and no more.
func TestEncrypted(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -O encrypt -b 4096"}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	secret := filepath.Join(dir, "secret")
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	encrypt(t, dir, secret)
	for i := range 300 { // enough that some names hold a slash or a NUL
		if err := os.WriteFile(filepath.Join(secret, fmt.Sprint("file", i)), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("target", filepath.Join(secret, "zlink")); err != nil {
		t.Fatal(err)
	}
	unmount()

	f := &tree{open(t, fsedittest.OpenImage(t, image))}
	node := lookup(t, f, "secret")
	list, err := f.ReadDir(node)
	if err != nil || len(list) != 301 {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	for _, d := range list {
		if n, err := f.Lookup(node, d.Name); err != nil || n != d.Node {
			t.Fatalf("lookup of %q: %d, %v", d.Name, n, err)
		}
		a, err := f.Attr(d.Node)
		if err != nil {
			t.Fatal(err)
		}
		if a.Mode.IsSymlink() {
			_, err = f.Readlink(d.Node)
		} else {
			_, err = f.Open(d.Node)
		}
		if !errors.Is(err, ondisk.ErrEncrypted) {
			t.Fatalf("%q: %v", d.Name, err)
		}
		if _, err := f.Xattrs(d.Node); err != nil {
			t.Fatal(err)
		}
	}
}
