package osfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func create(t *testing.T, s *Set, path string, o CreateOptions) *Output {
	t.Helper()
	out, err := s.Create(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteAt([]byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOutputAppearsWhenComplete(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.qcow2")
	out := create(t, NewSet(), path, CreateOptions{Mode: 0o640})
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before Commit: %v", err)
	}
	if names := namesIn(t, dir); len(names) != 1 || names[0] != ".a.qcow2.vmconv-0000.part" {
		t.Errorf("before Commit: %v", names)
	}
	if err := out.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := out.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&^0o640 != 0 || info.Size() != 3 {
		t.Errorf("after Commit: %v, %v", info.Mode(), err)
	}
	if names := namesIn(t, dir); len(names) != 1 {
		t.Errorf("after Commit: %v", names)
	}
}

func TestOutputAbort(t *testing.T) {
	dir := tree(t, "old.img")
	out := create(t, NewSet(), filepath.Join(dir, "old.img"), CreateOptions{Overwrite: true})
	if err := out.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := out.Commit(t.Context()); err == nil {
		t.Error("Commit after Abort was accepted")
	}
	if p, err := os.ReadFile(filepath.Join(dir, "old.img")); string(p) != "content of old.img" || len(namesIn(t, dir)) != 1 {
		t.Errorf("left %q, %v, %v", p, err, namesIn(t, dir))
	}
}

func TestOutputExists(t *testing.T) {
	dir := tree(t, "old.img", "dangling -> nowhere", "link -> old.img", "folder/")
	for _, name := range []string{"old.img", "dangling", "link"} {
		if _, err := Create(filepath.Join(dir, name), CreateOptions{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		out := create(t, NewSet(), filepath.Join(dir, name), CreateOptions{Overwrite: true})
		if err := out.Commit(t.Context()); err != nil {
			t.Errorf("overwriting %s: %v", name, err)
		}
	}
	if _, err := Create(filepath.Join(dir, "folder"), CreateOptions{Overwrite: true}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("a folder: %v", err)
	}
	// A name that is taken while the output is written stays whose it is.
	path := filepath.Join(dir, "late.img")
	out := create(t, NewSet(), path, CreateOptions{})
	if err := os.WriteFile(path, []byte("somebody else's"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := out.Commit(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Commit: %v", err)
	}
	if p, _ := os.ReadFile(path); string(p) != "somebody else's" {
		t.Errorf("overwritten with %q", p)
	}
}

func TestOutputIsNoSource(t *testing.T) {
	dir := tree(t, "src.img", "link -> src.img")
	if err := os.Link(filepath.Join(dir, "src.img"), filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	src, err := Open(filepath.Join(dir, "src.img"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for _, name := range []string{"src.img", "link", "hard"} {
		o := CreateOptions{Overwrite: true, Avoid: []imagefmt.Source{src}}
		if _, err := Create(filepath.Join(dir, name), o); !errors.Is(err, ondisk.ErrBlocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if Mode(src) != 0o644 {
		t.Errorf("Mode = %o", Mode(src))
	}
}

func TestSet(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	set := NewSet()
	disk := create(t, set, at("disk.vmdk"), CreateOptions{})
	if _, err := disk.Sibling("disk-s001.vmdk"); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Sibling("../x"); !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("a sibling elsewhere: %v", err)
	}
	if err := set.WriteFile(at("vm.xml"), []byte("<domain/>"), CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Create(at("vm.xml"), CreateOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("one name twice: %v", err)
	}
	if err := set.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"disk-s001.vmdk", "disk.vmdk", "vm.xml"}) {
		t.Errorf("after Commit: %v", names)
	}
}

// TestSetIsAllOrNothing: when one name cannot be given, none is.
func TestSetIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	set := NewSet()
	create(t, set, filepath.Join(dir, "a.img"), CreateOptions{})
	create(t, set, filepath.Join(dir, "b.img"), CreateOptions{})
	if err := os.WriteFile(filepath.Join(dir, "b.img"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := set.Commit(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Commit: %v", err)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"b.img"}) {
		t.Errorf("left: %v", names)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := create(t, NewSet(), filepath.Join(dir, "c.img"), CreateOptions{})
	if err := out.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"b.img"}) {
		t.Errorf("left: %v", names)
	}
}
