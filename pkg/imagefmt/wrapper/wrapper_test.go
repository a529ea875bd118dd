package wrapper

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// packed is content as the programs pack it, two members one after the other.
func packed(t testing.TB, tool string, args []string, content []byte) []byte {
	t.Helper()
	testtool.Need(t, tool)
	var out []byte
	for _, part := range [][]byte{content[:len(content)/3], content[len(content)/3:]} {
		cmd := exec.Command(tool, args...)
		cmd.Stdin = bytes.NewReader(part)
		p, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	return out
}

var tools = []struct {
	name, tool string
	args       []string
}{
	{"gzip", "gzip", []string{"-c"}},
	{"zstd", "zstd", []string{"-c", "-19", "--long=27"}},
	{"xz", "xz", []string{"-c", "-9"}},
	{"xz", "xz", []string{"-c", "--block-size=50000", "-T2"}},
	{"bzip2", "bzip2", []string{"-c"}},
}

// TestReader: what the usual programs packed comes out again, and a stream that
// was cut or damaged never ends well.
func TestReader(t *testing.T) {
	content := append(imagefmttest.Pattern(0, 200_000, 3), make([]byte, 300_000)...)
	for _, tc := range tools {
		data := packed(t, tc.tool, tc.args, content)
		w := Detect(data)
		if w == nil || w.String() != tc.name {
			t.Fatalf("%s was taken for %v", tc.name, w)
		}
		got, err := unpack(w, data)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", tc.name, len(got), err)
		}
		for _, cut := range []int{len(data) / 4, len(data) / 2, len(data) - 1} {
			if _, err := unpack(w, data[:cut]); !errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("%s cut at %d of %d: %v", tc.name, cut, len(data), err)
			}
		}
		bad := bytes.Clone(data)
		bad[len(bad)/2] ^= 0x55
		if got, err := unpack(w, bad); err == nil && bytes.Equal(got, content) {
			t.Errorf("%s: a damaged byte went unnoticed", tc.name)
		}
	}
}

func unpack(w *Wrapper, data []byte) ([]byte, error) {
	r, err := w.Reader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

var errDisk = errors.New("the disk is broken")

// TestReadError: a file that cannot be read is not a damaged stream.
func TestReadError(t *testing.T) {
	data := packed(t, "gzip", []string{"-c"}, imagefmttest.Pattern(0, 100_000, 3))
	r, err := Detect(data).Reader(io.MultiReader(bytes.NewReader(data[:50_000]), errReader{}))
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if !errors.Is(err, errDisk) || errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errDisk }

// TestWindow: a stream that asks for gigabytes of window is refused.
func TestWindow(t *testing.T) {
	testtool.Need(t, "xz", "zstd")
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{
		{"xz", "-k", "-c", "--lzma2=dict=1536MiB", file},
		{"sh", "-c", "head -c 300000000 /dev/zero | zstd -c --ultra --long=31"},
	} {
		data, err := exec.Command(line[0], line[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unpack(Detect(data), data); !errors.Is(err, ondisk.ErrTooBig) {
			t.Errorf("%v: %v", line, err)
		}
	}
}

func TestTrim(t *testing.T) {
	for name, want := range map[string]string{
		"a/disk.img.gz": "a/disk.img", "x.XZ": "x", "x.zst": "x", "x.bz2": "x", "x.img": "x.img", "x": "x",
	} {
		if got := Trim(name); got != want {
			t.Errorf("Trim(%q) = %q", name, got)
		}
	}
}

// FuzzReader: no stream makes us panic, or unpack without end.
func FuzzReader(f *testing.F) {
	content := append(imagefmttest.Pattern(0, 3000, 3), make([]byte, 3000)...)
	for _, tc := range tools {
		f.Add(packed(f, tc.tool, tc.args, content))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := Detect(data)
		if w == nil {
			return
		}
		r, err := w.Reader(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 8<<20))
	})
}
