package initramfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/cpio"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// pipe runs a filter over data.
func pipe(t testing.TB, data []byte, tool string, args ...string) []byte {
	t.Helper()
	testtool.Need(t, tool)
	cmd := exec.Command(tool, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return out
}

// compressors are the programs that generators run.
var compressors = map[Method][]string{
	None:  {"cat"},
	Gzip:  {"gzip", "-n9"},
	Bzip2: {"bzip2", "-9"},
	LZMA:  {"xz", "--format=lzma"},
	XZ:    {"xz", "--check=crc32", "-T2", "--block-size=300000"},
	LZ4:   {"lz4", "-l", "-c", "-q"},
	Zstd:  {"zstd", "-q", "-12", "-T1"},
}

func compress(t testing.TB, m Method, data []byte) []byte {
	t.Helper()
	return pipe(t, data, compressors[m][0], compressors[m][1:]...)
}

// tree makes files from pairs of path and content; "-> x" is a symbolic link,
// a path that ends in "/" a directory.
func tree(t testing.TB, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		path, content := filepath.Join(dir, pairs[i]), pairs[i+1]
		target, link := strings.CutPrefix(content, "-> ")
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(pairs[i], "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pack makes an archive of a directory with GNU cpio.
func pack(t testing.TB, dir string) []byte {
	t.Helper()
	testtool.Need(t, "cpio")
	cmd := exec.Command("sh", "-c", "find . | LC_ALL=C sort | cpio --quiet -o -H newc")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// entries packs by hand what no directory can hold.
func entries(t testing.TB, list ...any) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := cpio.NewWriter(&buf)
	for i := 0; i < len(list); i += 3 {
		h := cpio.Header{Name: list[i].(string), Mode: uint32(list[i+1].(int))}
		if err := w.Add(h, []byte(list[i+2].(string))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func read(t testing.TB, data []byte, opts Options) *Image {
	t.Helper()
	m, err := Read(bytes.NewReader(data), int64(len(data)), opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func content(t testing.TB, m *Image, path string) string {
	t.Helper()
	p, err := m.Content(path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return string(p)
}
