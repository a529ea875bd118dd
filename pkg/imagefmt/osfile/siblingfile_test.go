package osfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestSiblingFile: an extent is changed with its descriptor or not at all, only
// where the policy allows, and never under two names.
func TestSiblingFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"disk.vmdk", "disk-flat.vmdk"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	txn := Begin(TxnOptions{})
	defer txn.Close()
	first, err := txn.File(ctx, filepath.Join(dir, "disk.vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	flat, err := first.SiblingFile("disk-flat.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.SiblingFile("disk-flat.vmdk"); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("an extent named twice: %v", err)
	}
	if _, err := first.SiblingFile("disk.vmdk"); err == nil {
		t.Error("a descriptor that is its own extent was accepted")
	}
	if _, err := first.SiblingFile("../outside"); !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("an extent outside the folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "disk-flat.vmdk"), Options{}); !errors.Is(err, ondisk.ErrInUse) {
		t.Errorf("somebody else could open the extent: %v", err)
	}
	if _, err := flat.WriteAt([]byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "disk-flat.vmdk")); string(got) != "old content" {
		t.Errorf("before the commit the file holds %q", got)
	}
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "disk-flat.vmdk")); string(got) != "new content" {
		t.Errorf("after the commit the file holds %q", got)
	}
}
