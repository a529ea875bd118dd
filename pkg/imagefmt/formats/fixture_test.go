package formats

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

const fixtures = "testdata/foreign"

// fixtureRow is a line of the table in the README beside the fixtures.
var fixtureRow = regexp.MustCompile("(?m)^\\| `(.+?)` \\| `(.+?)` \\| `?(\\w+)`? \\| (\\d+) \\| `([0-9a-f]{64})` \\| ")

// TestForeignFixtures opens images that other programs made: the format is found,
// the content is what they have.
func TestForeignFixtures(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(fixtures, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := fixtureRow.FindAllStringSubmatch(string(readme), -1)
	archives, err := filepath.Glob(filepath.Join(fixtures, "*.tar.xz"))
	if err != nil || len(archives) != len(rows) || len(rows) < 20 {
		t.Fatalf("%d rows for %d archives, %v", len(rows), len(archives), err)
	}
	for _, row := range rows {
		name, opens, format, size, sum := row[1], row[2], row[3], row[4], row[5]
		t.Run(name, func(t *testing.T) {
			src := unpack(t, filepath.Join(fixtures, name+".tar.xz")).Get(opens)
			if f, err := Default().Probe(src); err != nil || f.Name() != format {
				t.Errorf("Probe: %v, %v", f, err)
			}
			img, err := Default().Open(t.Context(), src, format, imagefmt.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if fmt.Sprint(img.Size()) != size {
				t.Errorf("%d bytes, want %s", img.Size(), size)
			}
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(img, 0, img.Size())); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", h.Sum(nil)); got != sum {
				t.Errorf("the content has the digest %s, want %s", got, sum)
			}
		})
	}
}

// unpack puts the files of an archive into memory, with their holes.
func unpack(t *testing.T, path string) *imagefmttest.Folder {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	folder := imagefmttest.NewFolder()
	for r := tar.NewReader(x); ; {
		h, err := r.Next()
		if err == io.EOF {
			return folder
		}
		if err == nil {
			err = putSparse(folder.Put(h.Name, nil), r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
