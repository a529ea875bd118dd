package vdi

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const mib = 1 << 20

// bench is a folder of the host where the judges work.
type bench struct {
	t   testing.TB
	dir string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	testtool.Need(t, "qemu-img", "7zz")
	return &bench{t, t.TempDir()}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// img runs qemu-img; words that begin with @ are files of the folder.
func (b *bench) img(command string) string {
	b.t.Helper()
	return testtool.Img(b.t, b.dir, command)
}

// try is img for a run that may fail.
func (b *bench) try(command string) (string, error) {
	return testtool.TryImg(b.t, b.dir, command)
}

func (b *bench) read(name string) []byte {
	b.t.Helper()
	p, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// write makes a file with holes where pages are zero.
func (b *bench) write(name string, content []byte) {
	b.t.Helper()
	f, err := os.Create(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if err := imagefmt.WriteSparse(f, content, 0); err != nil {
		b.t.Fatal(err)
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		b.t.Fatal(err)
	}
}

// open opens an image of the folder as the program does.
func (b *bench) open(name string) imagefmt.Image {
	b.t.Helper()
	src, err := osfile.Open(b.path(name), osfile.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	img, err := Format{}.Open(context.Background(), src, imagefmt.OpenOptions{})
	if err != nil {
		src.Close()
		b.t.Fatalf("open %s: %v", name, err)
	}
	b.t.Cleanup(func() { img.Close() })
	return img
}

// expectSame has the judges compare an image with a raw file of whole sectors.
func (b *bench) expectSame(name, raw string) {
	b.t.Helper()
	b.img("check -f vdi @" + name)
	b.img("compare -f vdi -F raw @" + name + " @" + raw)
	out := b.path("7zz")
	testtool.Run(b.t, "7zz", "x", "-y", "-tvdi", "-o"+out, b.path(name))
	defer os.RemoveAll(out)
	files, err := os.ReadDir(out)
	if err != nil || len(files) != 1 {
		b.t.Fatalf("7zz extracted %v, %v", files, err)
	}
	b.img("compare -f raw -F raw @7zz/" + files[0].Name() + " @" + raw)
}

// pattern is a disk of all sorts: noise, small islands, long holes.
func pattern(size int64, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	p := make([]byte, size)
	for at := int64(0); at < size; {
		n := min(1+rng.Int64N(3*mib), size-at)
		switch rng.IntN(4) {
		case 0:
			imagefmttest.Fill(p[at:at+n], at, seed)
		case 1:
			imagefmttest.Fill(p[at:at+min(n, 700)], at, seed)
		}
		at += n
	}
	imagefmttest.Fill(p[max(0, size-100):], 1, seed)
	return p
}

// padded is content in whole sectors.
func padded(content []byte) []byte {
	return append(bytes.Clone(content), make([]byte, -len(content)&(sectorSize-1))...)
}

// layoutSpec is an image made by hand, for what no program at hand writes.
type layoutSpec struct {
	blockBits uint
	extra     int
	headerLen uint32
	mapOff    int
	dataOff   int
	entries   []uint32 // nil stores all blocks, from the last to the first
	diskSize  int
}

// build lays content out. It shares no code with the writer.
func (s layoutSpec) build(content []byte) []byte {
	block := 1 << s.blockBits
	n := (len(content) + block - 1) / block
	entries := s.entries
	if entries == nil {
		for i := range n {
			entries = append(entries, uint32(n-1-i))
		}
	}
	stored := 0
	for _, e := range entries {
		if e < entryZero {
			stored++
		}
	}
	img := make([]byte, s.dataOff+n*(block+s.extra))
	le := binary.LittleEndian
	for off, v := range map[int]uint32{
		0x40: 0xbeda107f, 0x44: 0x00010001, 0x48: s.headerLen, 0x4c: 1, 0x154: uint32(s.mapOff), 0x158: uint32(s.dataOff),
		0x168: 512, 0x178: uint32(block), 0x17c: uint32(s.extra), 0x180: uint32(n), 0x184: uint32(stored),
	} {
		le.PutUint32(img[off:], v)
	}
	le.PutUint64(img[0x170:], uint64(s.diskSize))
	for i, e := range entries {
		le.PutUint32(img[s.mapOff+4*i:], e)
		if e < entryZero {
			at := s.dataOff + int(e)*(block+s.extra)
			for k := range s.extra {
				img[at+k] = 0xee
			}
			copy(img[at+s.extra:], content[i*block:min((i+1)*block, len(content))])
		}
	}
	return img
}

func openMem(t testing.TB, content []byte) imagefmt.Image {
	t.Helper()
	img, err := Format{}.Open(context.Background(), imagefmttest.NewSource("disk.vdi", content), imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// readAll reads a device by its extents: what is said to be zero is not read.
func readAll(ctx context.Context, d blockdev.Device) ([]byte, error) {
	p := make([]byte, d.Size())
	for e, err := range blockdev.Extents(ctx, d, 0, d.Size()) {
		if err != nil {
			return nil, err
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		if _, err := d.ReadAt(p[e.Off:e.End()], e.Off); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return p, nil
}
