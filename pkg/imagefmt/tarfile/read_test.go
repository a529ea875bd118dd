package tarfile

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func open(t testing.TB, path string) imagefmt.Source {
	t.Helper()
	src, err := osfile.Open(path, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// TestFormats: members are found where GNU tar put them, in every format of it.
func TestFormats(t *testing.T) {
	testtool.Need(t, "tar")
	dir := t.TempDir()
	content := map[string][]byte{
		"a":                      imagefmttest.Pattern(0, 1, 1),
		"empty":                  {},
		"block":                  imagefmttest.Pattern(0, 512, 2),
		"sub/disk.vmdk":          imagefmttest.Pattern(0, 123_457, 3),
		"sub/" + repeat("n", 90): imagefmttest.Pattern(0, 600, 4),
	}
	long := "sub/" + repeat("long", 50) // not for V7
	content[long] = imagefmttest.Pattern(0, 10_000, 5)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, p := range content {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"v7", "ustar", "oldgnu", "gnu", "posix"} {
		path := filepath.Join(t.TempDir(), format+".tar")
		args := []string{"-cf", path, "--format=" + format, "-C", dir}
		if format == "v7" || format == "ustar" {
			args = append(args, "--exclude=./"+long)
		}
		testtool.Run(t, "tar", append(args, ".")...)
		a, err := Index(t.Context(), open(t, path), ondisk.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		for _, m := range a.Members() {
			checkMember(t, a, m.Name, content[m.Name])
		}
		want := len(content)
		if format == "v7" || format == "ustar" {
			want--
		}
		if got := len(a.Members()); got != want {
			t.Errorf("%s: %d members, want %d", format, got, want)
		}
	}
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

func checkMember(t *testing.T, a *Archive, name string, want []byte) {
	t.Helper()
	src, err := a.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	imagefmttest.Device(t, src, want)
}

// hugeArchive makes archives with members of 9 and 10 GiB, which are holes.
const hugeArchive = `
import sys, tarfile
form = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}[sys.argv[2]]
with open(sys.argv[1], "wb") as f:
    for name, size in (("first", 9 << 30), ("second", (10 << 30) + 5), ("third", 6)):
        info = tarfile.TarInfo(name)
        info.size = size
        f.write(info.tobuf(form, "utf-8", "surrogateescape"))
        f.seek((size + 511) // 512 * 512 - 1, 1)
        f.write(b"\0")
    f.write(b"\0" * 10240)
`

// TestHuge: sizes that octal digits cannot hold; only headers are read.
func TestHuge(t *testing.T) {
	testtool.Need(t, "python3")
	for _, format := range []string{"gnu", "pax"} {
		path := filepath.Join(t.TempDir(), "huge.tar")
		testtool.Run(t, "python3", "-c", hugeArchive, path, format)
		counted := &countReads{Source: open(t, path)}
		a, err := Index(t.Context(), counted, ondisk.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		m := a.Members()
		if len(m) != 3 || m[0].Size != 9<<30 || m[1].Size != 10<<30+5 || m[2].Size != 6 {
			t.Errorf("%s: members %+v", format, m)
		}
		if counted.n > 6*readAhead {
			t.Errorf("%s: %d bytes were read", format, counted.n)
		}
		src, err := a.Open("second")
		if err != nil {
			t.Fatal(err)
		}
		e, err := blockdev.NextExtent(src, 1<<20, 8<<30)
		if err != nil || e.Kind != blockdev.Zero || e.Len < 7<<30 {
			t.Errorf("%s: the hole of a member: %+v, %v", format, e, err)
		}
	}
}

type countReads struct {
	imagefmt.Source
	n int
}

func (c *countReads) ReadAt(p []byte, off int64) (int, error) {
	c.n += len(p)
	return c.Source.ReadAt(p, off)
}

func (c *countReads) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(c.Source, off, n)
}

// TestSparse: GNU tar's sparse members are refused in all four forms.
func TestSparse(t *testing.T) {
	testtool.Need(t, "tar")
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 4<<20); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--format=gnu"}, {"--format=posix", "--sparse-version=0.0"},
		{"--format=posix", "--sparse-version=0.1"}, {"--format=posix", "--sparse-version=1.0"},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		testtool.Run(t, "tar", append(args, "-S", "-cf", path, "-C", dir, "disk")...)
		if _, err := Index(t.Context(), open(t, path), ondisk.Limits{}); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// entry is a member of a made-up archive.
type entry struct {
	name string
	data string
	kind byte
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o600, Typeflag: tar.TypeReg}
		if e.kind != 0 {
			h.Typeflag, h.Linkname = e.kind, "/etc/passwd"
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func index(content []byte, limits ondisk.Limits) (*Archive, error) {
	return Index(context.Background(), imagefmttest.NewSource("x.tar", content), limits)
}

// TestHostile: what strangers put into archives is refused or harmless.
func TestHostile(t *testing.T) {
	good := archive(t, entry{name: "a", data: "one"}, entry{name: "b", data: "two"})
	for name, c := range map[string]struct {
		content []byte
		limits  ondisk.Limits
		want    error
	}{
		"empty file":      {nil, ondisk.Limits{}, ondisk.ErrFormat},
		"zeros":           {make([]byte, 1<<20), ondisk.Limits{}, ondisk.ErrFormat},
		"noise":           {imagefmttest.Pattern(0, 1<<16, 1), ondisk.Limits{}, ondisk.ErrFormat},
		"half a header":   {good[:100], ondisk.Limits{}, ondisk.ErrFormat},
		"cut in data":     {good[:514], ondisk.Limits{}, ondisk.ErrCorrupt},
		"cut in a header": {good[:1100], ondisk.Limits{}, ondisk.ErrCorrupt},
		"noise behind":    {append(bytes.Clone(good[:1024]), imagefmttest.Pattern(0, 512, 1)...), ondisk.Limits{}, ondisk.ErrCorrupt},
		"twice":           {archive(t, entry{name: "a"}, entry{name: "./a"}), ondisk.Limits{}, ondisk.ErrAmbiguous},
		"too many":        {good, ondisk.Limits{Entries: 1}, ondisk.ErrTooBig},
		"large index":     {good, ondisk.Limits{Table: 200}, ondisk.ErrTooBig},
		"long name":       {archive(t, entry{name: repeat("n", 5000)}), ondisk.Limits{}, ondisk.ErrTooBig},
		"no end mark":     {good[:2048], ondisk.Limits{}, nil},
		"whole":           {good, ondisk.Limits{Entries: 2}, nil},
	} {
		if _, err := index(c.content, c.limits); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	_, err := index(good[:514], ondisk.Limits{})
	if err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a member that is cut off is not named: %v", err)
	}
}

// TestNames: names are keys, and lead nowhere.
func TestNames(t *testing.T) {
	a, err := index(archive(t,
		entry{name: "dir/", kind: tar.TypeDir},
		entry{name: "disk", kind: tar.TypeSymlink},
		entry{name: "hard", kind: tar.TypeLink},
		entry{name: "/etc/passwd", data: "mine"},
		entry{name: "../../up", data: "up"},
		entry{name: ".//./disk.raw", data: "disk"},
	), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(len(a.Members())); got != "3" {
		t.Errorf("%s members, want 3: links are none", got)
	}
	checkMember(t, a, "/etc/passwd", []byte("mine"))
	checkMember(t, a, "disk.raw", []byte("disk"))
	src, err := a.Open("./disk.raw")
	if err != nil {
		t.Fatal(err)
	}
	up, err := src.Sibling("../../up")
	if err != nil || up.Size() != 2 || up.Identity() == src.Identity() {
		t.Errorf("Sibling: %v, %v", up, err)
	}
	for _, name := range []string{"disk", "dir", "hard", "/etc/hosts", ""} {
		if _, err := src.Sibling(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Sibling(%q): %v", name, err)
		}
	}
}

// TestFailing: an archive that cannot be read is not corrupt, and a walk that is
// not wanted any more ends.
func TestFailing(t *testing.T) {
	failure := errors.New("the device fails")
	src := imagefmttest.NewSource("x.tar", archive(t, entry{name: "a", data: repeat("x", 1<<20)}, entry{name: "b"}))
	src.OnRead = func(off int64, _ int) error {
		if off > 0 {
			return failure
		}
		return nil
	}
	_, err := Index(t.Context(), src, ondisk.Limits{})
	if !errors.Is(err, failure) || errors.Is(err, ondisk.ErrCorrupt) || errors.Is(err, ondisk.ErrFormat) {
		t.Errorf("a failing device: %v", err)
	}
	src.OnRead = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Index(ctx, src, ondisk.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled walk: %v", err)
	}
}

// FuzzIndex: an index never lies about where a member is, and ends.
func FuzzIndex(f *testing.F) {
	f.Add(archive(f, entry{name: "ova.xml", data: "<value/>"}, entry{name: "Ref:1/00000000", data: repeat("x", 600)}))
	f.Add(archive(f, entry{name: repeat("long", 100), data: "x"}, entry{name: "l", kind: tar.TypeSymlink}))
	f.Fuzz(func(t *testing.T, content []byte) {
		content = bytes.Clone(content) // the input is not ours to change
		reseal(content)
		a, err := index(content, ondisk.Limits{Entries: 100})
		if err != nil {
			return
		}
		end := int64(0)
		for _, m := range a.Members() {
			if m.Off < end+blockSize || m.Size < 0 || m.End() > int64(len(content)) {
				t.Fatalf("member %+v behind %d of %d bytes", m, end, len(content))
			}
			end = m.End()
			checkFuzzed(t, a, m, content[m.Off:m.End()])
		}
	})
}

func checkFuzzed(t *testing.T, a *Archive, m Member, want []byte) {
	src, err := a.Open(m.Name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ondisk.Bytes(src, 0, src.Size())
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("member %+v: %v", m, err)
	}
}

// reseal makes every block that could be a header one with the right sum.
func reseal(content []byte) {
	for ; len(content) >= blockSize; content = content[blockSize:] {
		h := content[:blockSize]
		if h[0] == 0 || h[257] != 'u' {
			continue
		}
		sum := 8 * int(' ')
		for i, c := range h {
			if i < 148 || i >= 156 {
				sum += int(c)
			}
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
}
