package formats

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// moreForeigners are further ways of qemu-img, for tests that read only.
var moreForeigners = []foreign{
	{"qcow2", "-o cluster_size=512"},
	{"qcow2", "-o cluster_size=2M"},
	{"qcow2", "-c -o extended_l2=on"},
	{"qcow2", "-o preallocation=metadata"},
	{"vmdk", "-o adapter_type=lsilogic,compat6=on"},
	{"vmdk", "-o adapter_type=buslogic,hwversion=13"},
	{"vmdk", "-o zeroed_grain=on,adapter_type=legacyESX"},
	{"vmdk", "-o subformat=twoGbMaxExtentSparse,zeroed_grain=on"},
	{"vhd", "-o subformat=dynamic"}, // rounded up to a geometry
	{"vhd", "-o subformat=fixed"},
	{"vhdx", "-o block_size=1M,log_size=2M"},
	{"vhdx", "-o block_size=256M"},
}

func eachForeign(t *testing.T, size int64, test func(t *testing.T, d *truth, f foreign, path string)) {
	testtool.Need(t, "qemu-img")
	d := newTruth(t, size)
	for _, f := range slices.Concat(foreigners, moreForeigners) {
		t.Run(strings.TrimSpace(f.format+" "+f.args), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "foreign."+f.format)
			if out, err := f.make(t, d.raw(t, d.size), path); err != nil {
				t.Fatalf("qemu-img: %v\n%s", err, out)
			}
			test(t, d, f, path)
		})
	}
}

// region is an entry of qemu-img map.
type region struct {
	Start, Length int64
	Zero, Data    bool
	Offset        *int64
}

// TestForeignMap holds our extents and our map against qemu-img's. What is data to
// us is data to it, and lies where it says; we may know more zeros.
func TestForeignMap(t *testing.T) {
	eachForeign(t, 40<<20+512, func(t *testing.T, d *truth, f foreign, path string) {
		var theirs []region
		out := testtool.Run(t, "qemu-img", "map", "-f", qemuName(f.format), "--output=json", path)
		if err := json.Unmarshal([]byte(out), &theirs); err != nil {
			t.Fatal(err)
		}
		img := openFile(t, path, f.format)
		var data int64
		for e, err := range blockdev.Extents(t.Context(), img, 0, img.Size()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == blockdev.Data {
				data += e.Len
				overlaps(theirs, e.Off, e.End(), func(r region, begin, end int64) {
					if r.Zero {
						t.Errorf("%d+%d is data to us, and zeros to qemu-img: %+v", begin, end-begin, r)
					}
				})
			}
		}
		if most := d.touched(2 << 20); data > most {
			t.Errorf("%d bytes are data, and at most %d should be", data, most)
		}
		expectPlaces(t, img, theirs)
	})
}

// overlaps calls do with the part of each region that lies in a range.
func overlaps(regions []region, from, to int64, do func(r region, begin, end int64)) {
	for _, r := range regions {
		if begin, end := max(from, r.Start), min(to, r.Start+r.Length); begin < end {
			do(r, begin, end)
		}
	}
}

// expectPlaces wants stored bytes to lie where qemu-img says. Its "zero" may be a
// hole of the host in stored bytes, which is not the format's word.
func expectPlaces(t *testing.T, img imagefmt.Image, theirs []region) {
	t.Helper()
	for e, err := range imagefmt.Map(t.Context(), img, 0, img.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.State != imagefmt.Stored {
			continue
		}
		overlaps(theirs, e.Off, e.End(), func(r region, begin, end int64) {
			if !r.Data {
				t.Errorf("%+v is stored, and to qemu-img it is not: %+v", e, r)
			}
			if ours := e.HostOff + begin - e.Off; r.Offset != nil && ours != *r.Offset+begin-r.Start {
				t.Errorf("%d lies at %d, and at %d by qemu-img", begin, ours, *r.Offset+begin-r.Start)
			}
		})
	}
}

// TestForeignTruncated cuts what qemu-img made: an error, or all of the disk where
// only unused bytes were lost.
func TestForeignTruncated(t *testing.T) {
	eachForeign(t, 16<<20, func(t *testing.T, d *truth, f foreign, path string) {
		if f.format == "raw" || strings.Contains(f.args, "256M") {
			return // half a raw disk is a raw disk; and the other is mostly unused
		}
		want, err := os.ReadFile(d.raw(t, d.size))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range loadFolder(t, filepath.Dir(path)).Names() {
			for _, percent := range []int64{25, 50, 99} {
				folder := loadFolder(t, filepath.Dir(path))
				cut := folder.Get(name)
				if err := cut.Truncate(cut.Size() * percent / 100); err != nil {
					t.Fatal(err)
				}
				got, err := readImage(t, folder.Get(filepath.Base(path)), f.format)
				if err == nil && !bytes.HasPrefix(got, want) {
					t.Errorf("%s cut at %d%% is read, and wrong", name, percent)
				}
				if err != nil && !errors.Is(err, ondisk.ErrCorrupt) && !errors.Is(err, ondisk.ErrFormat) && !isText(name, folder) {
					t.Errorf("%s cut at %d%%: %v", name, percent, err)
				}
			}
		}
	})
}

// isText is a descriptor, of which the half may say anything.
func isText(name string, folder *imagefmttest.Folder) bool { return folder.Get(name).Size() < 1024 }

func readImage(t *testing.T, src imagefmt.Source, format string) ([]byte, error) {
	t.Helper()
	img, err := Default().Open(t.Context(), src, format, imagefmt.OpenOptions{})
	if err != nil {
		return nil, err
	}
	defer img.Close()
	p := make([]byte, img.Size())
	return p, ondisk.Full(img, p, 0)
}

// loadFolder puts the files of a folder into memory, with their holes.
func loadFolder(t *testing.T, dir string) *imagefmttest.Folder {
	t.Helper()
	folder := imagefmttest.NewFolder()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		return putSparse(folder.Put(e.Name(), nil), in)
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// putSparse writes what r has to f; pages of zeros become holes.
func putSparse(f *imagefmttest.MemFile, r io.Reader) error {
	in, page := bufio.NewReaderSize(r, 1<<20), make([]byte, 4096)
	for off := int64(0); ; {
		n, err := io.ReadFull(in, page)
		if !ondisk.IsZero(page[:n]) {
			if _, err := f.WriteAt(page[:n], off); err != nil {
				return err
			}
		}
		off += int64(n)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return f.Truncate(off)
		default:
			return err
		}
	}
}

// pyqcow prints where libqcow reads something else from the second file than lies
// in the first.
const pyqcow = `
import os, pyqcow, sys
raw = open(sys.argv[1], "rb")
image = pyqcow.file()
image.open(sys.argv[2])
left = os.fstat(raw.fileno()).st_size
if image.get_media_size() != left:
    print("size", image.get_media_size())
while left > 0:
    n, at = min(left, 65536), raw.tell()
    if raw.read(n) != image.read_buffer(n):
        print("differs at", at)
    left -= n
`

// TestQcow2Peers: libqcow and 7-Zip read QEMU's images and ours alike. They know
// neither zstd nor subclusters.
func TestQcow2Peers(t *testing.T) {
	d := newTruth(t, 40<<20+512)
	raw := d.raw(t, d.size)
	expect := func(t *testing.T, path string) {
		if out := testtool.Run(t, "/usr/bin/python3", "-c", pyqcow, raw, path); out != "" {
			t.Errorf("libqcow: %.300s", out)
		}
		dir := t.TempDir()
		testtool.Run(t, "7zz", "e", "-y", "-tqcow", "-o"+dir, path)
		files, err := filepath.Glob(dir + "/*")
		if err != nil || len(files) != 1 {
			t.Fatalf("7-Zip made %v, %v", files, err)
		}
		testtool.Run(t, "cmp", files[0], raw)
	}
	known := func(name string) bool {
		return strings.HasPrefix(name, "qcow2") && !strings.Contains(name, "zstd") && !strings.Contains(name, "extended")
	}
	for _, f := range foreigners {
		if name := strings.TrimSpace(f.format + " " + f.args); known(name) {
			t.Run("QEMU's "+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "disk.qcow2")
				if out, err := f.make(t, raw, path); err != nil {
					t.Fatal(err, out)
				}
				expect(t, path)
			})
		}
	}
	for _, g := range targets(t) {
		if known(g.String()) {
			t.Run("our "+g.String(), func(t *testing.T) {
				dir := t.TempDir()
				convert(t, openFile(t, raw, "raw"), g, dir)
				expect(t, imagePath(dir, g))
			})
		}
	}
}

// TestRandomDisks goes from images of nbdkit's random disks to all formats by
// turns.
func TestRandomDisks(t *testing.T) {
	testtool.Need(t, "nbdkit", "qemu-img")
	all := targets(t)
	next := 0
	for _, disk := range []struct {
		args string
		size int64 // whole MiB, as Azure has it
	}{
		{"sparse-random seed=1 percent=3 runlength=70000", 40 << 20},
		{"sparse-random seed=2 percent=5 runlength=5000 random-content=true", 24 << 20},
		{"pattern", 5 << 20},
	} {
		args, size := disk.args, disk.size
		d := &truth{dir: t.TempDir(), size: size, made: map[int64]bool{size: true}}
		plugin := append(strings.Fields(args), fmt.Sprintf("size=%d", size))
		nbdkit(t, plugin, "qemu-img convert -f raw -O raw $uri "+d.raw(t, size))
		for _, f := range testtool.Some(6, foreigners) {
			g := all[next%len(all)]
			next++
			t.Run(fmt.Sprintf("%s/%s %s to %v", args, f.format, f.args, g), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "foreign."+f.format)
				nbdkit(t, plugin, fmt.Sprintf("qemu-img convert -t unsafe -f raw -O %s %s $uri %s", qemuName(f.format), f.args, path))
				img := openFile(t, path, f.format)
				if img.Size() != size {
					t.Fatalf("%d bytes", img.Size())
				}
				convert(t, img, g, dir)
				if err := d.judge(t, g, imagePath(dir, g), size); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// nbdkit serves the disk of a plugin while a command runs.
func nbdkit(t *testing.T, plugin []string, command string) {
	t.Helper()
	testtool.Run(t, "nbdkit", append(append([]string{"-U", "-"}, plugin...), "--run", command)...)
}
