package edit

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

var because = Reason{Edit: "test", Text: "a test"}

func text(s string) blockdev.Device { return blockdev.FromBytes([]byte(s)) }

func content(t *testing.T, v guest.View, p string) string {
	t.Helper()
	b, err := guest.ReadFile(v, p, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func kinds(t *testing.T, s *Staged) string {
	t.Helper()
	changes, err := s.Changes()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range changes {
		out = append(out, string(c.Kind)+" "+c.Path)
	}
	return strings.Join(out, ", ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStagedWritesThroughLinks(t *testing.T) {
	base := folder(t.TempDir())
	base.put(t, "/usr/lib/real", "old\n")
	base.put(t, "/lib -> usr/lib", "")
	base.put(t, "/etc/alias -> ../lib/real", "")
	s := NewStaged(base)
	must(t, s.WriteFile("/etc/alias", text("new\n"), 0, because))
	if got := content(t, s, "/lib/real"); got != "new\n" {
		t.Errorf("read %q through a link", got)
	}
	if got := kinds(t, s); got != "modify /usr/lib/real" {
		t.Errorf("changes: %s", got)
	}
	must(t, s.WriteFile("/lib/real", text("old\n"), 0, because))
	if got := kinds(t, s); got != "" {
		t.Errorf("the old content again is a change: %s", got)
	}
}

func TestStagedAddsParents(t *testing.T) {
	base := folder(t.TempDir())
	base.put(t, "/usr/lib/x", "")
	base.put(t, "/lib -> usr/lib", "")
	s := NewStaged(base)
	must(t, s.WriteFile("/lib/a/b/c", text("1"), 0o600, because))
	want := "mkdir /usr/lib/a, mkdir /usr/lib/a/b, add /usr/lib/a/b/c"
	if got := kinds(t, s); got != want {
		t.Errorf("changes: %s, want %s", got, want)
	}
	list, err := s.ReadDir("/lib")
	must(t, err)
	if len(list) != 2 || list[0].Name != "a" || list[0].Type != filesys.Dir {
		t.Errorf("listing: %v", list)
	}
	attr, err := s.Stat("/lib/a/b/c")
	must(t, err)
	if attr.Size != 1 || attr.Mode.Perm() != 0o600 || !attr.Mode.IsRegular() {
		t.Errorf("attributes: %+v", attr)
	}
}

func TestStagedLinksAndRemovals(t *testing.T) {
	base := folder(t.TempDir())
	base.put(t, "/d/one", "1")
	base.put(t, "/link -> d", "")
	base.put(t, "/loop -> loop", "")
	s := NewStaged(base)
	must(t, s.Remove("/link", because))
	must(t, s.WriteFile("/link/two", text("2"), 0o644, because))
	if guest.Exists(s, "/link/one") {
		t.Error("what a removed link led to is still below its name")
	}
	must(t, s.Remove("/d/one", because))
	must(t, s.Remove("/d", because))
	if guest.Exists(s, "/d") {
		t.Error("a removed folder exists")
	}
	must(t, s.Symlink("/new", "link/two", because))
	if got := content(t, s, "/new"); got != "2" {
		t.Errorf("read %q through a new link", got)
	}
	if _, err := s.Stat("/loop"); !errors.Is(err, filesys.ErrLoop) {
		t.Errorf("a loop of links: %v", err)
	}
	if err := s.Symlink("/new/x", "y", because); !errors.Is(err, filesys.ErrNotDir) {
		t.Errorf("a link below a file: %v", err)
	}
	if err := s.Remove("/nothing", because); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing nothing: %v", err)
	}
}

func TestStagedFoldsReasons(t *testing.T) {
	base := folder(t.TempDir())
	base.put(t, "/f", "a\nb\n")
	s := NewStaged(base)
	must(t, s.WriteFile("/f", text("a\nc\n"), 0, Reason{Edit: "one"}))
	must(t, s.WriteFile("/f", text("a\nd"), 0, Reason{Edit: "two", Required: true}))
	changes, err := s.Changes()
	must(t, err)
	edits := []string{}
	for _, r := range changes[0].Reasons {
		edits = append(edits, r.Edit)
	}
	if len(changes) != 1 || !slices.Equal(edits, []string{"one", "two"}) || !changes[0].Required() {
		t.Errorf("%+v", changes)
	}
	want := "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+d\n\\ No newline at end of file\n"
	if changes[0].Diff != want {
		t.Errorf("difference:\n%s", changes[0].Diff)
	}
	if len(changes[0].OldHash) != 64 {
		t.Errorf("hash %q", changes[0].OldHash)
	}
}
