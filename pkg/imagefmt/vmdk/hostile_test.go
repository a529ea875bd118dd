//go:build linux

package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// smallSparse is a monolithicSparse disk of qemu-img in less than 1 MiB.
func smallSparse(t testing.TB, content []byte) []byte {
	l := newLab(t)
	l.write("in.raw", content)
	l.img("convert -f raw -O vmdk @in.raw @disk.vmdk")
	return l.read("disk.vmdk")
}

// TestHostileHeader changes one field of a good image.
func TestHostileHeader(t *testing.T) {
	content := guestDisk(600<<10, 31)
	plainImage := smallSparse(t, content)
	streamImage := handStream(t, content, vmwareStream)
	u16 := func(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	u64 := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	const gd = 26 * sectorSize // of QEMU's image of one table
	for _, tt := range []struct {
		name  string
		image []byte
		off   int
		patch []byte
		want  error
	}{
		{"version 0", plainImage, 4, u32(0), ondisk.ErrUnsupported},
		{"version 4", plainImage, 4, u32(4), ondisk.ErrUnsupported},
		{"unknown flag", plainImage, 8, u32(3 | 1<<20), ondisk.ErrUnsupported},
		{"markers without compression", plainImage, 8, u32(3 | flagMarkers), ondisk.ErrUnsupported},
		{"capacity overflows", plainImage, 12, u64(math.MaxUint64), ondisk.ErrTooBig},
		{"capacity times 512 overflows", plainImage, 12, u64(1 << 55), ondisk.ErrTooBig},
		{"giant directory", plainImage, 12, u64(60 << 31), ondisk.ErrCorrupt},
		{"grain 0", plainImage, 20, u64(0), ondisk.ErrCorrupt},
		{"grain 127", plainImage, 20, u64(127), ondisk.ErrCorrupt},
		{"grain huge", plainImage, 20, u64(1 << 40), ondisk.ErrTooBig},
		{"grain overflows", plainImage, 20, u64(1 << 63), ondisk.ErrTooBig},
		{"no descriptor", plainImage, 28, u64(0), ondisk.ErrUnsupported},
		{"descriptor beyond", plainImage, 28, u64(1 << 40), ondisk.ErrCorrupt},
		{"descriptor overflows", plainImage, 28, u64(math.MaxUint64), ondisk.ErrCorrupt},
		{"descriptor huge", plainImage, 36, u64(math.MaxUint64), ondisk.ErrTooBig},
		{"descriptor empty", plainImage, 36, u64(0), ondisk.ErrCorrupt},
		{"no table entries", plainImage, 44, u32(0), ondisk.ErrCorrupt},
		{"many table entries", plainImage, 44, u32(513), ondisk.ErrCorrupt},
		{"directory beyond", plainImage, 56, u64(1 << 40), ondisk.ErrCorrupt},
		{"directory nowhere", plainImage, 56, u64(0), ondisk.ErrCorrupt},
		{"directory at no end", plainImage, 56, u64(gdAtEnd), ondisk.ErrCorrupt},
		{"text mode", plainImage, 73, []byte("\n  \n"), ondisk.ErrCorrupt},
		{"compression 2", plainImage, 77, u16(2), ondisk.ErrUnsupported},
		{"compression without markers", plainImage, 77, u16(1), ondisk.ErrUnsupported},
		{"table beyond", plainImage, gd, u32(math.MaxUint32), ondisk.ErrCorrupt},
		{"packed grain huge", streamImage, 20, u64(1 << 20), ondisk.ErrTooBig},
		{"footer contradicts", streamImage, 12, u64(5000), ondisk.ErrCorrupt},
		{"grain size 1 in footer", streamImage, len(streamImage) - 2*sectorSize + 20, u64(1), ondisk.ErrCorrupt},
		{"grain beyond", streamImage, 128 * sectorSize, u64(1 << 40), nil},
		{"grain is a marker", streamImage, 128*sectorSize + 8, u32(0), ondisk.ErrCorrupt},
		{"grain too long", streamImage, 128*sectorSize + 8, u32(1 << 30), ondisk.ErrCorrupt},
		{"grain a little too short", streamImage, 128*sectorSize + 8, u32(9), ondisk.ErrCorrupt},
		{"no zlib", streamImage, 128*sectorSize + 12, []byte{0, 0}, ondisk.ErrCorrupt},
		{"bit in the data", streamImage, 128*sectorSize + 700, []byte{0xff, 0, 0xff}, ondisk.ErrCorrupt},
	} {
		image := bytes.Clone(tt.image)
		copy(image[tt.off:], tt.patch)
		img, err := openMemory(imagefmttest.NewSource("disk.vmdk", image))
		if err == nil {
			_, err = readAll(img)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestEmbeddedElsewhere: a descriptor inside an extent cannot lead to another
// file, not even in an extent of no size, as QEMU follows it.
func TestEmbeddedElsewhere(t *testing.T) {
	image := tinySparse(make([]byte, 8192))
	clear(image[sectorSize : 2*sectorSize])
	copy(image[sectorSize:], text(typeMonolithicFlat, `RW 1 FLAT "/etc/passwd" 0`))
	for _, capacity := range []byte{16, 0} {
		image[12] = capacity
		if _, err := openMemory(imagefmttest.NewSource("disk.vmdk", image)); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("capacity %d: %v", capacity, err)
		}
	}
}

// TestZipBomb: a grain that would unpack to far more than a grain is refused, and
// a huge number of entries for it costs no memory.
func TestZipBomb(t *testing.T) {
	bomb := appendGrain(nil, 0, make([]byte, 64<<20))
	image := handStream(t, bytes.Repeat([]byte("x"), grainBytes), vmwareStream)
	at := 128 * sectorSize
	image = append(image[:at:at], append(bomb, image[at+sectorSize:]...)...)
	h, err := ondisk.Read[sparseHeader](bytes.NewReader(image), 0, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	h.GDOffset = uint64(len(image) / sectorSize) // one table, of which every entry is the bomb
	h.Capacity = 512 * 128
	image = pad(binary.LittleEndian.AppendUint32(image, uint32(len(image)/sectorSize+1)))
	for range 512 {
		image = binary.LittleEndian.AppendUint32(image, uint32(at/sectorSize))
	}
	copy(image, h.appendTo(nil))
	img, err := openMemory(imagefmttest.NewSource("disk.vmdk", image))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const reads = 512
	for off := int64(0); off < reads*4096; off += 4096 {
		if _, err := img.ReadAt(make([]byte, 1), off); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / reads; n > 200<<10 {
		t.Errorf("%d bytes for each read", n)
	}
}

var smallLimits = ondisk.Limits{VirtualSize: 1 << 30, Table: 1 << 20, Cache: 1 << 20}

// TestFailingDisk keeps a failing disk apart from a corrupt image.
func TestFailingDisk(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, k := range []streamKind{vmwareStream, {version: 3, eos: true}} {
		src := imagefmttest.NewSource("disk.vmdk", handStream(t, guestDisk(1<<20, 32), k))
		for after := range 14 {
			n := 0
			src.OnRead = func(int64, int) error {
				if n++; n > after {
					return broken
				}
				return nil
			}
			img, err := openMemory(src)
			if err == nil {
				_, err = readAll(img)
			}
			if !errors.Is(err, broken) || errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("failing after %d reads: %v", after, err)
			}
		}
	}
}

// fuzzFolder puts an image among files that it can name.
func fuzzFolder(content []byte) *imagefmttest.MemFile {
	f := imagefmttest.NewFolder()
	f.Put("flat.bin", bytes.Repeat([]byte("flat"), 16<<10))
	f.Put("cowd.vmdk", cowd(bytes.Repeat([]byte("cowd"), 4<<10), 1))
	return f.Put("disk.vmdk", content)
}

// FuzzOpen opens, reads, checks and changes disks that others have made up. The
// same bytes are tried as the first file and as an extent. Nothing may panic,
// hang or eat memory; it may well fail.
func FuzzOpen(f *testing.F) {
	content := make([]byte, 8<<10)
	copy(content[5000:], "the disk of a guest")
	f.Add(tinySparse(content))
	f.Add(handStream(f, content, streamKind{version: 3, short: true, tables: true, footer: true, eos: true}))
	f.Add(handStream(f, content, streamKind{version: 3, short: true, eos: true}))
	f.Add(cowd(content, 1))
	f.Add(seSparse(content))
	f.Add(text(typeCustom, `RW 16 FLAT "flat.bin" 1`, `RW 9 ZERO`, `RW 128 VMFSSPARSE "cowd.vmdk"`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<20 {
			return
		}
		begin := time.Now()
		fuzzOne(t, fuzzFolder(content))
		outer := text(typeCustom, `RW 128 SPARSE "x.vmdk"`, `RW 64 SESPARSE "x.vmdk"`)
		folder := imagefmttest.NewFolder()
		folder.Put("x.vmdk", content)
		fuzzOne(t, folder.Put("disk.vmdk", outer))
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func fuzzOne(t *testing.T, src *imagefmttest.MemFile) {
	ctx := context.Background()
	opts := imagefmt.OpenOptions{Limits: smallLimits}
	_, _ = Format{}.Probe(src)
	_, _ = Format{}.Describe(ctx, src, opts)
	_, _ = Format{}.Check(ctx, src, opts, nil)
	if img, err := (Format{}).Open(ctx, src, opts); err == nil {
		fuzzRead(t, img)
	}
	if img, err := (Format{}).Update(ctx, src, opts); err == nil {
		for i := range int64(8) {
			if off := i * img.Size() / 8; off < img.Size() {
				_, _ = img.WriteAt([]byte("x"), off)
			}
		}
		_ = img.Flush(ctx)
		fuzzRead(t, img)
	}
}

func fuzzRead(t *testing.T, img imagefmt.Image) {
	left, buf := int64(4<<20), make([]byte, 1<<20)
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if err != nil || left <= 0 {
			return
		}
		n := min(e.Len, int64(len(buf)))
		if got, err := img.ReadAt(buf[:n], e.Off); err == nil && int64(got) < n {
			t.Errorf("short read of %d+%d without an error", e.Off, n)
		}
		if p, ok := img.(imagefmt.PackedReader); ok && p.PackedSize() > 0 {
			_, _, _ = p.ReadPacked(nil, ondisk.AlignDown(e.Off, int64(p.PackedSize())))
		}
		left -= n + 4096
	}
}

// FuzzDescriptor parses what others have made up. Digits that an update would
// overwrite lie in the text and are the CID.
func FuzzDescriptor(f *testing.F) {
	f.Add(text(typeMonolithicFlat, `RW 16 FLAT "a.bin" 0`))
	f.Add([]byte("cid = \"c1d\"\r\ncreateType=custom\rRDONLY 1 ZERO\nddb.longContentID = \"0123456789abcdef0123456789abcdef\""))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := parseDescriptor(content)
		if err != nil {
			return
		}
		digits := content[d.cidDigits.off:][:d.cidDigits.n]
		if id, err := contentID(string(digits)); err != nil || id != d.cid {
			t.Errorf("the CID is %x, its digits are %q", d.cid, digits)
		}
		if s := d.longIDDigits; s.n > 0 && s.off+s.n > len(content) {
			t.Errorf("digits %+v are outside the text", s)
		}
		if len(d.extents) > maxExtents {
			t.Errorf("%d extents", len(d.extents))
		}
	})
}
