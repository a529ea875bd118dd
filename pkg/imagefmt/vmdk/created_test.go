//go:build linux

package vmdk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// created is an image on the host's disk, where other programs judge it.
type created struct {
	t    testing.TB
	path string // of the image
	raw  string // of the same disk as a sparse raw file
}

func createWith(words string) imagefmt.CreateOptions {
	o := imagefmt.CreateOptions{Values: map[string]string{}}
	for _, w := range strings.Fields(words) {
		if w == "-c" {
			o.Compress = true
			continue
		}
		k, v, _ := strings.Cut(w, "=")
		o.Values[k] = v
	}
	return o
}

// island is a piece of data in a sea of zeros.
type island struct {
	off  int64
	data []byte
}

// islands are of all sorts: text, noise, single bytes, at the edges of grains,
// tables and the disk.
func islands(size int64) []island {
	rng := rand.New(rand.NewSource(size))
	noise := func(n int64) []byte {
		p := make([]byte, n)
		rng.Read(p)
		return p
	}
	var all []island
	end := int64(0)
	add := func(off int64, data []byte) {
		if off >= end && off+int64(len(data)) <= size {
			all = append(all, island{off, data})
			end = off + int64(len(data))
		}
	}
	add(0, []byte{1})
	add(100, bytes.Repeat([]byte("the quick brown fox "), 10000))
	add(3*grainBytes+512, noise(2*grainBytes))
	add(10*grainBytes, noise(grainBytes))
	add(12*grainBytes-1, []byte("xy"))
	add(tableSpan-70_000, noise(200_000))
	add(splitSectors*sectorSize-100_000, noise(200_000))
	add(size/2+4321, noise(70_000))
	add(ondisk.AlignDown(size, grainBytes)-grainBytes-5, noise(grainBytes))
	add(size-min(size, 40), noise(min(size, 40)))
	return all
}

// create writes the islands to an image and to a raw file.
func create(t testing.TB, dir, name string, size int64, opts imagefmt.CreateOptions) *created {
	t.Helper()
	c := &created{t, filepath.Join(dir, name), filepath.Join(dir, name+".raw")}
	out, err := osfile.Create(c.path, osfile.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Abort()
	fill(t, out, size, opts)
	if err := out.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.Create(c.raw)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, i := range islands(size) {
		if _, err := raw.WriteAt(i.data, i.off); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Truncate(ondisk.AlignUp(size, sectorSize)); err != nil {
		t.Fatal(err)
	}
	return c
}

// fill writes the islands by WriteAt, in pieces of odd sizes.
func fill(t testing.TB, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) {
	t.Helper()
	ctx := context.Background()
	w, err := Format{}.Create(ctx, sink, size, opts)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	rng := rand.New(rand.NewSource(1))
	pos := int64(0)
	for _, i := range islands(size) {
		if i.off%3 == 0 {
			if err := w.Zero(pos, i.off-pos); err != nil {
				t.Fatal(err)
			}
		}
		for p, at := i.data, i.off; len(p) > 0; {
			n := min(len(p), 1+rng.Intn(1<<(1+rng.Intn(18))))
			if _, err := w.WriteAt(p[:n], at); err != nil {
				t.Fatalf("write %d+%d: %v", at, n, err)
			}
			p, at = p[n:], at+int64(n)
		}
		pos = i.off + int64(len(i.data))
	}
	if err := w.Finish(ctx); err != nil {
		t.Fatalf("finish: %v", err)
	}
}

// judgeQEMU wants qemu-img to see the same disk, and no errors.
func (c *created) judgeQEMU() {
	c.t.Helper()
	testtool.Run(c.t, "qemu-img", "compare", "-q", "-f", "raw", "-F", "vmdk", c.raw, c.path)
	out, err := testtool.Try(c.t, "qemu-img", "check", "-f", "vmdk", c.path)
	if err != nil && !strings.Contains(out, "does not support checks") || err == nil && !strings.Contains(out, "No errors were found") {
		c.t.Errorf("qemu-img check: %v: %s", err, out)
	}
}

// readBack prints whether libvmdk reads from the second file what is in the
// first; only pages that hold data in either are read.
const readBack = `
import os, pyvmdk, sys
raw = open(sys.argv[1], "rb")
image = pyvmdk.handle()
image.open(sys.argv[2])
image.open_extent_data_files()
size = os.fstat(raw.fileno()).st_size
print(image.get_media_size() == size or "size %d" % image.get_media_size())
places = {0, size // 2, max(0, size - 65536)}
off = 0
while off < size:
    try:
        off = os.lseek(raw.fileno(), off, os.SEEK_DATA)
    except OSError:
        break
    end = os.lseek(raw.fileno(), off, os.SEEK_HOLE)
    places.update(range(off, end, 65536))
    off = end
for off in sorted(places):
    n = min(65536, size - off)
    raw.seek(off)
    image.seek_offset(off, 0)
    if raw.read(n) != image.read_buffer(n):
        print("differs at", off)
`

// judgeLibvmdk wants the same of libvmdk, and of vmdkinfo the right type.
func (c *created) judgeLibvmdk(diskType string) {
	c.t.Helper()
	if out := testtool.Run(c.t, "/usr/bin/python3", "-c", readBack, c.raw, c.path); strings.TrimSpace(out) != "True" {
		c.t.Errorf("libvmdk: %s", out)
	}
	if out := testtool.Run(c.t, "vmdkinfo", c.path); !strings.Contains(out, diskType) {
		c.t.Errorf("vmdkinfo does not say %q: %s", diskType, out)
	}
}

// judge7zip wants 7-Zip to unpack the same disk.
func (c *created) judge7zip() {
	c.t.Helper()
	dir := c.t.TempDir()
	testtool.Run(c.t, "7zz", "x", "-tvmdk", "-o"+dir, c.path)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		c.t.Fatalf("7zz unpacked %v, %v", files, err)
	}
	sameFiles(c.t, c.raw, filepath.Join(dir, files[0].Name()))
}

func sameFiles(t testing.TB, a, b string) {
	t.Helper()
	x, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(p)) {
		n, err := x.ReadAt(p, off)
		m, _ := y.ReadAt(q, off)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			t.Fatalf("%s and %s differ after byte %d", a, b, off)
		}
		if err == io.EOF {
			return
		}
	}
}

// TestCreate has every subformat judged at the sizes where mistakes live.
func TestCreate(t *testing.T) {
	for _, f := range []struct{ subformat, vmdkinfo string }{
		{typeMonolithicSparse, "Monolithic sparse"},
		{typeMonolithicFlat, "Monolithic flat"},
		{typeSplitSparse, "2GB extent"},
		{typeSplitFlat, "2GB extent"},
		{typeStream, "Stream optimized"},
		{typeVMFS, "VMFS flat"},
	} {
		for _, size := range []int64{512, 100, 40 << 20, 40<<20 + 512, 40<<20 + 100, 40<<20 - 65536} {
			t.Run(fmt.Sprintf("%s/%d", f.subformat, size), func(t *testing.T) {
				c := create(t, t.TempDir(), "disk.vmdk", size, createWith("subformat="+f.subformat))
				c.judgeQEMU()
				c.judgeLibvmdk(f.vmdkinfo)
				if f.subformat == typeMonolithicSparse || f.subformat == typeMonolithicFlat || f.subformat == typeStream {
					c.judge7zip()
				}
			})
		}
	}
}

// TestCreateSplit goes over the edge of a file.
func TestCreateSplit(t *testing.T) {
	for _, subformat := range []string{typeSplitSparse, typeSplitFlat} {
		dir := t.TempDir()
		c := create(t, dir, "my disk.VMDK", 5<<30, createWith("subformat="+subformat))
		c.judgeQEMU()
		c.judgeLibvmdk("2GB extent")
		files, err := filepath.Glob(filepath.Join(dir, "my disk-?00[123].vmdk"))
		if err != nil || len(files) != 3 {
			t.Errorf("%s: files %v, %v", subformat, files, err)
		}
	}
}

// TestCreateHuge holds a few islands on disks of terabytes, in little room. It
// is libvmdk that reads them, since qemu-img compare goes over every grain.
func TestCreateHuge(t *testing.T) {
	for subformat, diskType := range map[string]string{typeMonolithicSparse: "Monolithic sparse", typeStream: "Stream optimized"} {
		for _, size := range []int64{2039 << 30, 8 << 40} {
			c := create(t, t.TempDir(), "disk.vmdk", size, createWith("subformat="+subformat))
			c.judgeLibvmdk(diskType)
			out := testtool.Run(t, "qemu-img", "info", "-f", "vmdk", "--output=json", c.path)
			if !strings.Contains(out, fmt.Sprintf("\"virtual-size\": %d,", size)) {
				t.Errorf("%s of %d: qemu-img info: %s", subformat, size, out)
			}
			if n := allocated(t, c.path); n > 8<<20 {
				t.Errorf("%s of %d: %d bytes are allocated", subformat, size, n)
			}
		}
	}
}
