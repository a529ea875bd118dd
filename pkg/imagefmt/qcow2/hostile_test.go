package qcow2

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"os"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// smallSeeds are images of a few kilobytes with everything in them.
func smallSeeds(t testing.TB) [][]byte {
	b := newBench(t)
	content := pattern(40<<10, 2)
	copy(content[8<<10:], bytes.Repeat([]byte("text "), 2000))
	b.write("in.raw", content)
	b.write("base.raw", content)
	var seeds [][]byte
	for _, options := range []string{
		"-o cluster_size=512",
		"-c -o cluster_size=512,compat=0.10",
		"-c -o cluster_size=4k,compression_type=zstd",
		"-o cluster_size=512,refcount_bits=2",
		"-o cluster_size=16k,extended_l2=on",
	} {
		b.img("convert -f raw -O qcow2 " + options + " @in.raw @disk.qcow2")
		b.img("snapshot -c s1 @disk.qcow2")
		seeds = append(seeds, b.read("disk.qcow2"))
	}
	b.img("create -q -f qcow2 -o cluster_size=512 -b base.raw -F raw @disk.qcow2")
	b.io("disk.qcow2", "write -P 1 1k 3k", "write -z 6k 1k")
	b.img("bitmap --add -g 512 @disk.qcow2 b0")
	return append(seeds, b.read("disk.qcow2"))
}

// TestBitFlips turns single bits of headers and tables. Where QEMU and we both
// still read the image, we read the same.
func TestBitFlips(t *testing.T) {
	const flips = 40 // an image
	rng := rand.New(rand.NewSource(1))
	for k, seed := range smallSeeds(t)[:5] {
		b := newBench(t)
		agreed := 0
		for range flips {
			bit := rng.Intn(len(seed) * 8)
			if rng.Intn(3) == 0 {
				bit = rng.Intn(112 * 8)
			}
			image := bytes.Clone(seed)
			image[bit/8] ^= 1 << (bit % 8)
			got, err := readBounded(image)
			if err != nil {
				continue
			}
			b.write("flip.qcow2", image)
			out, err := testtool.Try(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", b.path("flip.qcow2"), b.path("flip.raw"))
			if err != nil {
				continue // stricter than we are, as about reserved fields
			}
			theirs := b.read("flip.raw")
			os.Remove(b.path("flip.raw"))
			n := min(len(theirs), len(got))
			if !bytes.Equal(theirs[:n], got[:n]) {
				t.Errorf("image %d, bit %d: we and qemu-img differ at %#x %s", k, bit, firstDifference(theirs, got), out)
			}
			agreed++
		}
		if agreed < flips/4 {
			t.Errorf("image %d: only %d of %d flips could be compared", k, agreed, flips)
		}
	}
}

var smallLimits = ondisk.Limits{VirtualSize: 64 << 20, Table: 1 << 20, Cache: 1 << 20}

func noBacking(_ context.Context, src imagefmt.Source, _ string) (imagefmt.Image, error) {
	return rawImage{src}, nil
}

func readBounded(content []byte) ([]byte, error) {
	f := imagefmttest.NewFolder()
	f.Put("base.raw", make([]byte, 40<<10))
	src := f.Put("fuzz", content)
	img, err := Format{}.Open(context.Background(), src, imagefmt.OpenOptions{Limits: smallLimits, Backing: noBacking})
	if err != nil {
		return nil, err
	}
	return tryReadAll(img)
}

// FuzzOpen opens, reads and changes images that others have made up. Nothing may
// panic, hang or eat memory; it may well fail.
func FuzzOpen(f *testing.F) {
	for _, s := range smallSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<20 {
			return
		}
		begin := time.Now()
		folder := imagefmttest.NewFolder()
		folder.Put("base.raw", make([]byte, 40<<10))
		src := folder.Put("fuzz", content)
		opts := imagefmt.OpenOptions{Limits: smallLimits, Backing: noBacking}
		_, _ = Format{}.Describe(context.Background(), src, opts)
		if img, err := (Format{}).Open(context.Background(), src, opts); err == nil {
			fuzzRead(t, img)
			fuzzMap(img)
		}
		if r, err := (Format{}).Check(context.Background(), src, opts, nil); err == nil && len(r.Corruptions)+len(r.Leaks) > 2*imagefmt.MaxFindings {
			t.Errorf("%d findings are spelled out", len(r.Corruptions)+len(r.Leaks))
		}
		if img, err := (Format{}).Update(context.Background(), src, opts); err == nil {
			for i := range int64(8) {
				if off := i * img.Size() / 8; off < img.Size() {
					_, _ = img.WriteAt([]byte("x"), off)
				}
			}
			fuzzRead(t, img)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func fuzzRead(t *testing.T, img imagefmt.Image) {
	left, buf := int64(4<<20), make([]byte, 1<<20)
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if err != nil || left <= 0 {
			return
		}
		n := min(e.Len, int64(len(buf)))
		got, err := img.ReadAt(buf[:n], e.Off)
		if err == nil && int64(got) < n {
			t.Errorf("short read of %d+%d without an error", e.Off, n)
		}
		left -= n + 4096
	}
}

// fuzzMap walks the map, and takes the packed clusters.
func fuzzMap(img imagefmt.Image) {
	packed, size := img.(imagefmt.PackedReader), int64(img.(imagefmt.PackedReader).PackedSize())
	left := 1000
	for e, err := range imagefmt.Map(context.Background(), img, 0, img.Size()) {
		if left--; err != nil || left < 0 {
			return
		}
		if e.State == imagefmt.Compressed && e.Off%size == 0 {
			_, _, _ = packed.ReadPacked(nil, e.Off)
		}
	}
}

// TestFailingDisk keeps a failing disk apart from a corrupt image.
func TestFailingDisk(t *testing.T) {
	broken := errors.New("the disk is broken")
	sink := imagefmttest.NewSink("out")
	writeImage(t, sink, pattern(1<<20, 1), "-c cluster_size=4k", 1)
	src := sink.File()
	for after := range 12 {
		n := 0
		src.OnRead = func(int64, int) error {
			if n++; n > after {
				return broken
			}
			return nil
		}
		img, err := Format{}.Open(context.Background(), src, imagefmt.OpenOptions{})
		if err == nil {
			_, err = tryReadAll(img)
		}
		if !errors.Is(err, broken) || errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("failing after %d reads: %v", after, err)
		}
	}
}

// TestDecompressExact wants a whole cluster, no more and no less, whatever
// follows in the last sector.
func TestDecompressExact(t *testing.T) {
	plainText := bytes.Repeat([]byte("cluster "), 512)
	for _, method := range []uint8{compressionZlib, compressionZstd} {
		stream, err := compress(method, 0, nil, plainText)
		if err != nil || stream == nil {
			t.Fatal(err)
		}
		got := make([]byte, len(plainText))
		withTail := append(bytes.Clone(stream), "rubbish that belongs to the next one"...)
		if err := decompress(method, got, withTail); err != nil || !bytes.Equal(got, plainText) {
			t.Errorf("method %d: with a tail: %v", method, err)
		}
		if err := decompress(method, make([]byte, len(plainText)+1), withTail); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("method %d: a stream that is too short: %v", method, err)
		}
		if err := decompress(method, got, stream[:len(stream)-5]); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("method %d: a stream that is cut: %v", method, err)
		}
	}
}

// TestConcurrent reads by many goroutines, from a cache that is too small, while
// one writes to another place.
func TestConcurrent(t *testing.T) {
	content := pattern(2<<20, 3)
	sink := imagefmttest.NewSink("out")
	writeImage(t, sink, content, "-c cluster_size=4k", 1)
	img, err := Format{}.Update(context.Background(), sink.File(), imagefmt.OpenOptions{Limits: ondisk.Limits{Cache: 16 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	const half = 1 << 20
	done := make(chan error, 5)
	for k := range int64(4) {
		go func() {
			rng := rand.New(rand.NewSource(k))
			buf := make([]byte, 10_000)
			for range 200 {
				off := rng.Int63n(half - int64(len(buf)))
				if err := ondisk.Full(img, buf, off); err != nil {
					done <- err
					return
				}
				if !bytes.Equal(buf, content[off:off+int64(len(buf))]) {
					done <- errors.New("content differs")
					return
				}
			}
			done <- nil
		}()
	}
	go func() {
		var err error
		for i := int64(0); i < 100 && err == nil; i++ {
			_, err = img.WriteAt(bytes.Repeat([]byte{byte(i)}, 5000), half+i*7000)
		}
		done <- err
	}()
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
