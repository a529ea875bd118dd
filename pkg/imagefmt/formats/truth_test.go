package formats

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// island is a piece of data in a sea of zeros.
type island struct {
	off  int64
	data []byte
}

func (i island) end() int64 { return i.off + int64(len(i.data)) }

// truth is a disk as raw files, which nobody has to decode.
type truth struct {
	dir     string
	size    int64
	islands []island // ascending

	mu   sync.Mutex
	made map[int64]bool // sizes for which there is a file
}

// newTruth is a disk of size bytes with something at its start, in its middle
// and at its end: noise, text, single bytes, zeros that are stored.
func newTruth(t *testing.T, size int64) *truth {
	t.Helper()
	d := &truth{dir: t.TempDir(), size: size, made: map[int64]bool{}}
	if size < 4<<20 {
		d.islands = []island{{0, imagefmttest.Pattern(0, int(size), 1)}}
		return d
	}
	noise := func(off, n int64) { d.islands = append(d.islands, island{off, imagefmttest.Pattern(off, int(n), 1)}) }
	noise(0, 1)
	d.islands = append(d.islands, island{5000, bytes.Repeat([]byte("all work and no play\n"), 10_000)})
	noise(1<<20+512, 700_000)
	noise(size/2+4321, 1<<20)
	d.islands = append(d.islands, island{size/2 + 4<<20, make([]byte, 1<<20)})
	noise(size-1<<20-9, 1)
	noise(size-300_001, 300_001)
	return d
}

// raw is a file with the disk, zeros behind it to the given size.
func (d *truth) raw(t *testing.T, size int64) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	path := filepath.Join(d.dir, fmt.Sprintf("%d.raw", size))
	if d.made[size] {
		return path
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, i := range d.islands {
		if _, err := f.WriteAt(i.data, i.off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	d.made[size] = true
	return path
}

// touched is how many bytes there are in the units that hold data.
func (d *truth) touched(unit int64) (n int64) {
	end := int64(0)
	for _, i := range d.islands {
		if ondisk.IsZero(i.data) {
			continue
		}
		begin := max(end, ondisk.AlignDown(i.off, unit))
		end = max(end, ondisk.AlignUp(i.end(), unit))
		n += end - begin
	}
	return n
}

// room is what an image of the disk may take on its host: the clusters of 64 KiB
// with data, and tables of 4 bytes for every half mebibyte. XVA leaves out whole
// chunks only.
func (d *truth) room(g target) int64 {
	const cluster, chunk = 64 << 10, 1 << 20
	if g.Name() == "xva" {
		return d.touched(chunk) + chunk
	}
	return d.touched(cluster) + d.size>>17 + 8*cluster
}

// judge has a program that we did not write say that the image at path holds the
// disk, in the given size.
func (d *truth) judge(t *testing.T, g target, path string, size int64) error {
	t.Helper()
	want := d.raw(t, size)
	var tool string
	var args []string
	switch g.Name() {
	case "xva":
		return judgeXVA(t, path, want)
	case "raw": // of which qemu-img sees whole sectors only
		tool, args = "cmp", []string{path, want}
	default:
		tool, args = "qemu-img", []string{"compare", "-f", qemuName(g.Name()), "-F", "raw", path, want}
	}
	out, err := testtool.Try(t, tool, args...)
	if err == nil && strings.Contains(out, "size mismatch") {
		err = errors.New("the size differs")
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", tool, err, out)
	}
	return nil
}

// judgeXVA has tar unpack the archive and xva-img put the disk together. It wants
// the SHA-1 of older hosts beside each chunk.
func judgeXVA(t *testing.T, path, want string) error {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(path), "xva")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	testtool.Run(t, "tar", "xf", path, "-C", dir)
	chunks, err := filepath.Glob(filepath.Join(dir, "Ref:*", "????????"))
	if err != nil || len(chunks) == 0 {
		return fmt.Errorf("%d chunks in %s: %v", len(chunks), path, err)
	}
	for _, chunk := range chunks {
		content, err := os.ReadFile(chunk)
		if err != nil {
			return err
		}
		if err := os.WriteFile(chunk+".checksum", fmt.Appendf(nil, "%x", sha1.Sum(content)), 0o644); err != nil {
			return err
		}
	}
	raw := filepath.Join(dir, "disk.raw")
	testtool.Run(t, "xva-img", "disk-export", filepath.Dir(chunks[0])+"/", raw)
	if out, err := testtool.Try(t, "cmp", raw, want); err != nil {
		return fmt.Errorf("xva-img: %w\n%s", err, out)
	}
	return nil
}

// judgeChunks is for disks that xva-img would write out in full: every chunk of
// the archive is what the disk has at its place, and no data is outside.
func (d *truth) judgeChunks(t *testing.T, path string) error {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := os.Open(d.raw(t, d.size))
	if err != nil {
		return err
	}
	defer raw.Close()
	const chunk = 1 << 20
	seen := map[int64]bool{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		number, err := strconv.ParseInt(filepath.Base(h.Name), 10, 64)
		if err != nil {
			continue // a checksum, or the description
		}
		seen[number] = true
		got, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		want := make([]byte, min(chunk, d.size-number*chunk))
		if _, err := raw.ReadAt(want, number*chunk); err != nil && err != io.EOF {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("chunk %d differs", number)
		}
	}
	for _, i := range d.islands {
		for n := i.off / chunk; n*chunk < i.end() && !ondisk.IsZero(i.data); n++ {
			if !seen[n] {
				return fmt.Errorf("chunk %d is missing", n)
			}
		}
	}
	return nil
}
