package osfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tree makes files and folders (names that end in a slash), and links ("a -> b").
func tree(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, link)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(strings.ReplaceAll(target, "DIR", dir), path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte("content of "+name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	want := imagefmttest.Pattern(0, 100_001, 1)
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	imagefmttest.Device(t, src, want)
	if src.Name() != path {
		t.Errorf("Name = %q", src.Name())
	}
	again, err := Open(filepath.Dir(path)+"/./a.img", Options{NoHoles: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Identity() != src.Identity() {
		t.Error("two names of one file have two identities")
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := src.ReadAt(make([]byte, 10), 50_000); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that shrank: %v", err)
	}
	if e, err := blockdev.NextExtent(src, 50_000, 100); err == nil && e.Kind == blockdev.Zero {
		t.Error("what was cut off is said to be zeros")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := tree(t, "folder/", "a.img")
	for path, want := range map[string]error{
		filepath.Join(dir, "folder"):          ondisk.ErrUnsupported,
		filepath.Join(dir, "none"):            os.ErrNotExist,
		"json:{\"driver\":\"file\"}":          ondisk.ErrBlocked,
		"nbd://localhost/disk":                ondisk.ErrBlocked,
		"nbd:unix:/run/x":                     ondisk.ErrBlocked,
		"https://example.org/a.img":           ondisk.ErrBlocked,
		"file:" + filepath.Join(dir, "a.img"): ondisk.ErrBlocked,
	} {
		src, err := Open(path, Options{})
		if !errors.Is(err, want) {
			t.Errorf("Open(%q): %v, want %v", path, err, want)
		}
		if err == nil {
			src.Close()
		}
	}
}

func TestSiblings(t *testing.T) {
	dir := tree(t, "vm/top.img", "vm/base.img", "vm/sub/deep.img", "vm/sub/deeper.img", "secret",
		"vm/out -> ../secret", "vm/abs -> DIR/vm/base.img", "vm/in -> base.img", "vm/folder/")
	top, err := Open(filepath.Join(dir, "vm/top.img"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	for name, want := range map[string]error{
		"base.img":                        nil,
		"./base.img":                      nil,
		"in":                              nil,
		"sub/../base.img":                 nil,
		"sub/deep.img":                    nil,
		"../secret":                       ondisk.ErrBlocked,
		"sub/../../secret":                ondisk.ErrBlocked,
		filepath.Join(dir, "secret"):      ondisk.ErrBlocked,
		filepath.Join(dir, "vm/base.img"): ondisk.ErrBlocked,
		"out":                             ondisk.ErrBlocked,
		"abs":                             ondisk.ErrBlocked,
		"":                                ondisk.ErrBlocked,
		"a\x00b":                          ondisk.ErrBlocked,
		"json:{}":                         ondisk.ErrBlocked,
		"nbd://host/x":                    ondisk.ErrBlocked,
		"fat:rw:.":                        ondisk.ErrBlocked,
		"file:base.img":                   ondisk.ErrBlocked,
		"none.img":                        os.ErrNotExist,
		"folder":                          ondisk.ErrUnsupported,
		".":                               ondisk.ErrUnsupported,
	} {
		src, err := top.Sibling(name)
		if !errors.Is(err, want) {
			t.Errorf("Sibling(%q): %v, want %v", name, err, want)
		}
		if err == nil {
			src.Close()
		}
	}
	_, err = top.Sibling("../secret")
	if err == nil || !strings.Contains(err.Error(), "../secret") || !strings.Contains(err.Error(), PermitFlag) {
		t.Errorf("the refusal %q does not name path and flag", err)
	}
}

// TestSiblingPolicies: the policy goes with the source to the next one, whose
// own folder counts then.
func TestSiblingPolicies(t *testing.T) {
	dir := tree(t, "vm/top.img", "vm/sub/deep.img", "vm/base.img", "secret")
	for policy, want := range map[Siblings]error{Anywhere: nil, Nowhere: ondisk.ErrBlocked} {
		top, err := Open(filepath.Join(dir, "vm/top.img"), Options{Siblings: policy})
		if err != nil {
			t.Fatal(err)
		}
		defer top.Close()
		for _, name := range []string{"../secret", filepath.Join(dir, "secret")} {
			src, err := top.Sibling(name)
			if !errors.Is(err, want) {
				t.Errorf("policy %d: %v, want %v", policy, err, want)
			}
			if err == nil {
				src.Close()
			}
		}
		if _, err := top.Sibling("json:{}"); !errors.Is(err, ondisk.ErrBlocked) {
			t.Errorf("policy %d, json: %v", policy, err)
		}
	}
	top, err := Open(filepath.Join(dir, "vm/top.img"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	deep, err := top.Sibling("sub/deep.img")
	if err != nil {
		t.Fatal(err)
	}
	defer deep.Close()
	if _, err := deep.Sibling("../base.img"); !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("a sibling left its folder: %v", err)
	}
}

func TestSpill(t *testing.T) {
	dir := t.TempDir()
	f, err := NewSpill(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := blockdev.NewOverlay(blockdev.FromBytes(make([]byte, 1<<20)), blockdev.OverlayOptions{
		Memory: 4096, Spill: func() (blockdev.SpillFile, error) { return f, nil },
	})
	want := imagefmttest.Pattern(0, 1<<20, 3)
	if _, err := o.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	imagefmttest.Device(t, o, want)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if names := namesIn(t, dir); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

func TestFreeSpace(t *testing.T) {
	free, err := FreeSpace(t.TempDir())
	if err != nil || free <= 0 {
		t.Errorf("FreeSpace = %d, %v", free, err)
	}
	if _, err := FreeSpace(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there has space")
	}
}

func TestStream(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		p, _ := io.ReadAll(r)
		got <- p
	}()
	sink := Stream(w)
	for _, off := range []int64{0, 5} {
		if _, err := sink.WriteAt([]byte("12345"), off); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sink.WriteAt([]byte("x"), 11); err == nil {
		t.Error("a gap was accepted")
	}
	if err := sink.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if _, err := sink.Sibling("x"); !errors.Is(err, ondisk.ErrUnsupported) || sink.Seekable() || sink.Truncate(1) == nil {
		t.Error("a stream has siblings, seeks or a size")
	}
	w.Close()
	if p := <-got; !bytes.Equal(p, []byte("1234512345")) {
		t.Errorf("the pipe got %q", p)
	}
}
