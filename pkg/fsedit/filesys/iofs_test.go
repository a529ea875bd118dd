package filesys_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
)

// TestIOFS lets the standard library judge the view.
func TestIOFS(t *testing.T) {
	f := filesys.IOFS(fsedittest.NewMemFS(map[string]string{
		"etc/passwd": "root", "bin": "-> usr/bin", "usr/bin/sh": "elf", "abs": "-> /etc/passwd", "a\xff%b": "odd", "empty/": "", "ünï": "x",
	}))
	if err := fstest.TestFS(f, "etc/passwd", "bin", "usr/bin/sh", "a%ff%25b", "empty", "ünï"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"bin/sh": "elf", "abs": "root", "a%ff%25b": "odd"} {
		if got, err := fs.ReadFile(f, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := fs.Stat(f, "bin/../../x"); err == nil {
		t.Error("a path with .. was accepted")
	}
}
