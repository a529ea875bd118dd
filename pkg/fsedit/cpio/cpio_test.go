package cpio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// gnu packs a directory with GNU cpio; kind is newc, crc or odc.
func gnu(t testing.TB, kind, dir string) []byte {
	t.Helper()
	testtool.Need(t, "cpio")
	cmd := exec.Command("sh", "-c", "find . | LC_ALL=C sort | cpio --quiet -o -H "+kind)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tree(t testing.TB) string {
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "a/empty"), nil, 0o600))
	must(os.WriteFile(filepath.Join(dir, "a/b/big"), bytes.Repeat([]byte("0123456789"), 70_001), 0o755))
	must(os.WriteFile(filepath.Join(dir, "a/odd"), []byte("seven b"), 0o4755))
	must(os.Link(filepath.Join(dir, "a/odd"), filepath.Join(dir, "a/z-link")))
	must(os.Symlink("b/big", filepath.Join(dir, "a/sym")))
	return dir
}

// onlyReader hides that a reader can seek.
type onlyReader struct{ io.Reader }

func TestReadsWhatGNUWrites(t *testing.T) {
	dir := tree(t)
	for _, kind := range []string{"newc", "crc"} {
		for _, seek := range []bool{true, false} {
			t.Run(fmt.Sprint(kind, seek), func(t *testing.T) {
				var src io.Reader = bytes.NewReader(gnu(t, kind, dir))
				if !seek {
					src = onlyReader{src}
				}
				compareWithTree(t, NewReader(src), dir)
			})
		}
	}
}

func compareWithTree(t *testing.T, r *Reader, dir string) {
	seen := 0
	for ; ; seen++ {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(filepath.Join(dir, h.Name))
		if err != nil {
			t.Fatal(err)
		}
		if got := fs.FileMode(h.Mode & 0o777); got != info.Mode().Perm() || h.IsDir() != info.IsDir() || int64(h.Mtime) != info.ModTime().Unix() {
			t.Errorf("%s: mode %o mtime %d, want %v", h.Name, h.Mode, h.Mtime, info)
		}
		if h.Name == "a/odd" { // its data comes with the last link, and is skipped
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case h.IsSymlink():
			if want, _ := os.Readlink(filepath.Join(dir, h.Name)); string(data) != want {
				t.Errorf("%s -> %q, want %q", h.Name, data, want)
			}
		case h.IsRegular():
			if want, _ := os.ReadFile(filepath.Join(dir, h.Name)); !bytes.Equal(data, want) {
				t.Errorf("%s: %d bytes differ from the file's %d", h.Name, len(data), len(want))
			}
		}
	}
	if seen != 8 || !r.Trailed() {
		t.Errorf("%d entries, trailed %v", seen, r.Trailed())
	}
	if err := r.NextArchive(); err != io.EOF {
		t.Errorf("after the padding: %v", err)
	}
}

func TestGNUUnpacksWhatWeWrite(t *testing.T) {
	testtool.Need(t, "cpio")
	var buf bytes.Buffer
	w := NewWriter(&buf)
	content := []byte("some content")
	for _, e := range []struct {
		h    Header
		data []byte
	}{
		{Header{Name: "usr", Mode: TypeDir | 0o755, Mtime: 1e9}, nil},
		{Header{Name: "usr/f", Mode: TypeRegular | 0o640, Mtime: 1e9}, content},
		{Header{Name: "usr/l", Mode: TypeSymlink | 0o777, Mtime: 1e9}, []byte("f")},
	} {
		if err := w.Add(e.h, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil || buf.Len()%4 != 0 {
		t.Fatal(err, buf.Len())
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-idm", "--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, &buf
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "warn") {
		t.Fatalf("%v %s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "usr/l"))
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%q %v", got, err)
	}
	info, _ := os.Stat(filepath.Join(dir, "usr/f"))
	if info.Mode().Perm() != 0o640 || info.ModTime().Unix() != 1e9 {
		t.Fatal(info)
	}
}

func TestRefusals(t *testing.T) {
	good := gnu(t, "newc", tree(t))
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"odc":       {gnu(t, "odc", tree(t)), ondisk.ErrUnsupported},
		"truncated": {good[:300], ondisk.ErrCorrupt},
		"not hex":   {append([]byte("070701zz"), good[8:]...), ondisk.ErrCorrupt},
		"empty":     {nil, ondisk.ErrCorrupt},
	} {
		if err := readAll(tc.data); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sum := gnu(t, "crc", tree(t))
	at := bytes.Index(sum, []byte("seven b"))
	sum[at]++
	if err := readAll(sum); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("a wrong checksum: %v", err)
	}
	w := NewWriter(io.Discard)
	for _, name := range []string{"", "TRAILER!!!", "a\x00b", strings.Repeat("x", MaxName)} {
		if w.Add(Header{Name: name}, nil) == nil {
			t.Errorf("the name %.20q was written", name)
		}
	}
}

func readAll(data []byte) error {
	r := NewReader(bytes.NewReader(data))
	for {
		if _, err := r.Next(); err == io.EOF {
			if err := r.NextArchive(); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
}

func FuzzReader(f *testing.F) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.Add(Header{Name: "d", Mode: TypeDir | 0o755}, nil)
	w.Add(Header{Name: "d/f", Mode: TypeRegular | 0o644}, []byte("data"))
	w.Close()
	f.Add(buf.Bytes())
	f.Add(append(append(bytes.Clone(buf.Bytes()), 0, 0, 0, 0), buf.Bytes()...))
	f.Fuzz(func(t *testing.T, data []byte) { readAll(data) })
}
