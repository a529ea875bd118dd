//go:build linux

package vmdk

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// lab is a folder of the host where other programs make and judge disks.
type lab struct {
	t      testing.TB
	dir    string
	opened []imagefmt.Image // they hold locks that qemu-img respects
}

func newLab(t testing.TB) *lab {
	t.Helper()
	testtool.Need(t, "qemu-img", "qemu-io")
	return &lab{t: t, dir: t.TempDir()}
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// img runs qemu-img; @ stands for the folder.
func (l *lab) img(command string) string {
	l.t.Helper()
	l.close()
	return testtool.Img(l.t, l.dir, command)
}

// io runs qemu-io commands on one disk.
func (l *lab) io(name string, commands ...string) {
	l.t.Helper()
	l.close()
	testtool.IO(l.t, layer, l.path(name), commands...)
}

func (l *lab) write(name string, content []byte) {
	l.t.Helper()
	if err := os.WriteFile(l.path(name), content, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) read(name string) []byte {
	l.t.Helper()
	p, err := os.ReadFile(l.path(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// truth is the disk as qemu-img reads it.
func (l *lab) truth(name string) []byte {
	l.t.Helper()
	l.img("convert -f vmdk -O raw @" + name + " @truth.raw")
	defer os.Remove(l.path("truth.raw"))
	return l.read("truth.raw")
}

// python is the disk as libvmdk reads it: in 1 MiB pieces, by pyvmdk.
func (l *lab) python(name string, size int) []byte {
	l.t.Helper()
	const script = `
import pyvmdk, sys
h = pyvmdk.handle(); h.open(sys.argv[1]); h.open_extent_data_files()
out = open(sys.argv[2], "wb"); left = h.get_media_size()
while left > 0:
    p = h.read_buffer(min(left, 1 << 20)); out.write(p); left -= len(p)
    if not p: sys.exit("it ends early")
`
	testtool.Run(l.t, "/usr/bin/python3", "-c", script, l.path(name), l.path("python.raw"))
	defer os.Remove(l.path("python.raw"))
	p := l.read("python.raw")
	if len(p) != size {
		l.t.Fatalf("libvmdk sees %d bytes, want %d", len(p), size)
	}
	return p
}

// sevenZip is the disk as 7-Zip reads it.
func (l *lab) sevenZip(name string) []byte {
	l.t.Helper()
	testtool.Run(l.t, "7zz", "e", "-y", "-tvmdk", "-o"+l.path("out"), l.path(name))
	defer os.RemoveAll(l.path("out"))
	files, err := os.ReadDir(l.path("out"))
	if err != nil || len(files) != 1 {
		l.t.Fatalf("7-Zip made %d files: %v", len(files), err)
	}
	return l.read(filepath.Join("out", files[0].Name()))
}

// open opens a disk of the folder, as the program does.
func (l *lab) open(name string) imagefmt.Image {
	l.t.Helper()
	img, err := l.tryOpen(name, imagefmt.OpenOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.opened = append(l.opened, img)
	return img
}

// close closes what was opened, before another program works on it.
func (l *lab) close() {
	for _, img := range l.opened {
		img.Close()
	}
	l.opened = nil
}

func (l *lab) tryOpen(name string, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	l.t.Helper()
	src, err := osfile.Open(l.path(name), osfile.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	img, err := imagefmt.NewRegistry(Format{}).Open(context.Background(), src, "", opts)
	if err != nil {
		src.Close()
	}
	return img, err
}

// folder is all of the folder's files in memory, with holes where zeros are.
func (l *lab) folder() *imagefmttest.Folder {
	l.t.Helper()
	names, err := os.ReadDir(l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	f := imagefmttest.NewFolder()
	for _, n := range names {
		content := l.read(n.Name())
		file := f.Put(n.Name(), nil)
		for off := 0; off < len(content); off += 1 << 16 {
			if p := content[off:min(off+1<<16, len(content))]; !ondisk.IsZero(p) {
				file.WriteAt(p, int64(off))
			}
		}
		file.Truncate(int64(len(content)))
	}
	return f
}

// guestDisk is size bytes with data of all sorts and holes: noise, text, single
// bytes, over the borders of grains.
func guestDisk(size int, seed int64) []byte {
	p := make([]byte, size)
	rng := rand.New(rand.NewSource(seed))
	for range 12 {
		off, n := rng.Intn(size), rng.Intn(300_000)
		part := p[off:min(off+n, size)]
		switch rng.Intn(3) {
		case 0:
			rng.Read(part)
		case 1:
			for i := range part {
				part[i] = "the disk of a guest "[i%20]
			}
		default:
			part[0] = 1
		}
	}
	p[0], p[size-1] = 0xeb, 0xaa
	return p
}

func readAll(img imagefmt.Image) ([]byte, error) {
	p := make([]byte, img.Size())
	if n, err := img.ReadAt(p, 0); err != nil && err != io.EOF {
		return p[:n], err
	}
	return p, nil
}

// openMemory opens content with siblings that a test has put beside it.
func openMemory(src imagefmt.Source) (imagefmt.Image, error) {
	return imagefmt.NewRegistry(Format{}).Open(context.Background(), src, layer, imagefmt.OpenOptions{})
}

// text is a descriptor of the given type and extent lines.
func text(createType string, lines ...string) []byte {
	return fmt.Appendf(nil, "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=%q\n\n# Extent description\n%s\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n",
		createType, strings.Join(lines, "\n"))
}
