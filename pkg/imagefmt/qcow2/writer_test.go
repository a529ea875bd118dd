package qcow2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func createOptions(words string) imagefmt.CreateOptions {
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

// writeImage writes content by WriteAt in pieces of odd sizes, or by blocks that
// several workers encode.
func writeImage(t testing.TB, sink imagefmt.Sink, content []byte, options string, workers int) {
	t.Helper()
	ctx := context.Background()
	w, err := Format{}.Create(ctx, sink, int64(len(content)), createOptions(options))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if bw, ok := w.(imagefmt.BlockWriter); ok && workers > 0 {
		appendBlocks(t, bw, content, workers)
	} else {
		writePieces(t, w, content)
	}
	if err := w.Finish(ctx); err != nil {
		t.Fatalf("finish: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Fatalf("abort after finish: %v", err)
	}
}

func writePieces(t testing.TB, w imagefmt.Writer, content []byte) {
	t.Helper()
	rng := rand.New(rand.NewSource(int64(len(content))))
	for off := 0; off < len(content); {
		n := min(1+rng.Intn(1<<uint(9+rng.Intn(13))), len(content)-off)
		p := content[off : off+n]
		var err error
		switch {
		case ondisk.IsZero(p) && off%3 == 0:
			err = w.Zero(int64(off), int64(n))
		case ondisk.IsZero(p) && off%3 == 1: // a gap
		default:
			_, err = w.WriteAt(p, int64(off))
		}
		if err != nil {
			t.Fatalf("write %d+%d: %v", off, n, err)
		}
		off += n
	}
}

func appendBlocks(t testing.TB, w imagefmt.BlockWriter, content []byte, workers int) {
	t.Helper()
	size := w.BlockSize()
	blocks := make([]imagefmt.Block, (len(content)+size-1)/size)
	var wg sync.WaitGroup
	for k := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := k; i < len(blocks); i += workers {
				b, err := w.Encode(nil, int64(i*size), content[i*size:min(len(content), (i+1)*size)])
				if err != nil {
					t.Errorf("encode: %v", err)
				}
				blocks[i] = b
			}
		}()
	}
	wg.Wait()
	for _, b := range blocks {
		if err := w.Append(b); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
}

// expectClean wants no corruption and no leaks.
func (b *bench) expectClean(name string) {
	b.t.Helper()
	out := b.img("check -f qcow2 @" + name)
	if !strings.Contains(out, "No errors were found") {
		b.t.Errorf("qemu-img check: %s", out)
	}
}

// padded is content as a disk of whole sectors.
func padded(content []byte) []byte {
	return append(bytes.Clone(content), make([]byte, -len(content)&511)...)
}

func TestWrite(t *testing.T) {
	sizes := []int{0, 1, 511, 65535, diskSize + 13}
	var options []string
	for _, cluster := range []string{"512", "4k", "64k", "2M"} {
		for _, kind := range []string{"", "compat=0.10", "-c", "-c compression_type=zstd"} {
			options = append(options, kind+" cluster_size="+cluster)
		}
	}
	for _, more := range []string{"1", "2", "8", "64"} {
		options = append(options, "cluster_size=512 refcount_bits="+more, "-c cluster_size=4k refcount_bits="+more)
	}
	options = append(options, "extended_l2=on", "extended_l2=on cluster_size=16k", "-c extended_l2=on compression_type=zstd", "-c compat=0.10")
	for _, o := range options {
		t.Run(strings.TrimSpace(o), func(t *testing.T) {
			b := newBench(t)
			for _, size := range sizes {
				if size < diskSize && !strings.HasSuffix(o, "cluster_size=64k") {
					continue
				}
				content := pattern(size, int64(size))
				sink := imagefmttest.NewSink("out")
				writeImage(t, sink, content, o, 0)
				b.save("out.qcow2", sink.File())
				b.expectClean("out.qcow2")
				if got := b.truth("out.qcow2"); !bytes.Equal(got, padded(content)) {
					t.Fatalf("size %d: qemu-img reads %d bytes, differing at %#x", size, len(got), firstDifference(got, padded(content)))
				}
				if n := len(b.read("out.qcow2")); n%512 != 0 {
					t.Errorf("file of %d bytes", n)
				}
			}
			if !strings.Contains(o, "zstd") && !strings.Contains(o, "extended") && !strings.Contains(o, "512") && !strings.Contains(o, "-c cluster_size=4k") { // it cannot read those of QEMU either
				b.expectLima("out.qcow2", padded(pattern(diskSize+13, diskSize+13)))
			}
		})
	}
}

// TestWriteMixed alternates clusters that shrink and clusters that do not.
func TestWriteMixed(t *testing.T) {
	b := newBench(t)
	rng := rand.New(rand.NewSource(3))
	content := make([]byte, 4<<20)
	for off := 0; off < len(content); off += 4096 {
		rng.Read(content[off : off+[]int{0, 200, 3000, 4096}[rng.Intn(4)]])
	}
	for _, o := range []string{"-c cluster_size=4k", "-c cluster_size=512", "-c cluster_size=64k compression_type=zstd", "-c cluster_size=4k refcount_bits=1"} {
		sink := imagefmttest.NewSink("out")
		writeImage(t, sink, content, o, 2)
		b.save("out.qcow2", sink.File())
		b.expectClean("out.qcow2")
		if !bytes.Equal(b.truth("out.qcow2"), content) {
			t.Errorf("%s: content differs", o)
		}
	}
}

// TestWriteDeterministic wants the same bytes from any number of workers, and
// from WriteAt as well.
func TestWriteDeterministic(t *testing.T) {
	content := pattern(diskSize, 4)
	for _, o := range []string{"-c", "-c compression_type=zstd cluster_size=4k"} {
		var first []byte
		for _, workers := range []int{0, 1, 2, 5} {
			sink := imagefmttest.NewSink("out")
			writeImage(t, sink, content, o, workers)
			got := sink.File().Bytes()
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Errorf("%s: %d workers give other bytes at %#x", o, workers, firstDifference(got, first))
			}
		}
	}
}

// TestWriteSize holds the size of our files against qemu-img's.
func TestWriteSize(t *testing.T) {
	b := newBench(t)
	content := pattern(16<<20, 5)
	b.write("in.raw", content)
	for _, o := range []string{"", "-c", "-c compression_type=zstd"} {
		sink := imagefmttest.NewSink("out")
		writeImage(t, sink, content, o, 2)
		theirs := o
		if i := strings.Index(o, "compression"); i > 0 {
			theirs = o[:i] + "-o " + o[i:]
		}
		b.img("convert -f raw -O qcow2 " + theirs + " @in.raw @theirs.qcow2")
		ours, want := sink.File().Size(), int64(len(b.read("theirs.qcow2")))
		if ours > want+want/20 {
			t.Errorf("%q: %d bytes, qemu-img %d", o, ours, want)
		}
	}
}

// TestWriteHuge writes a few islands to disks of terabytes, in little memory.
func TestWriteHuge(t *testing.T) {
	b := newBench(t)
	for _, o := range []string{"", "-c", "extended_l2=on cluster_size=2M"} {
		const size = 8 << 40
		sink := imagefmttest.NewSink("out")
		ctx := context.Background()
		w, err := Format{}.Create(ctx, sink, size, createOptions(o))
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(64) {
			if _, err := w.WriteAt([]byte(fmt.Sprintf("island %d", i)), i*size/64+i*777); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		b.save("out.qcow2", sink.File())
		b.expectClean("out.qcow2")
		img := openMem(t, b.folder(), "out.qcow2")
		got := make([]byte, 16)
		for i := range int64(64) {
			if _, err := img.ReadAt(got, i*size/64+i*777); err != nil || !bytes.HasPrefix(got, []byte(fmt.Sprintf("island %d", i))) {
				t.Fatalf("island %d: %q, %v", i, got, err)
			}
		}
	}
}

// TestWriteOverlay writes over a backing file: gaps show it, zeros hide it.
func TestWriteOverlay(t *testing.T) {
	b := newBench(t)
	base := pattern(4<<20+512, 6)
	b.write("base.raw", base)
	for _, o := range []string{"", "extended_l2=on", "-c"} {
		sink := imagefmttest.NewSink("out")
		ctx := context.Background()
		w, err := Format{}.Create(ctx, sink, int64(len(base)), createOptions(o+" backing_file=base.raw backing_fmt=raw"))
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(base)
		for i := range 128 << 10 {
			want[1<<20+i] = 'x'
		}
		clear(want[2<<20 : 2<<20+64<<10])
		clear(want[4<<20:])
		_, err1 := w.WriteAt(want[1<<20:1<<20+128<<10], 1<<20)
		err2 := w.Zero(2<<20, 64<<10)
		err3 := w.Zero(4<<20, 512)
		if err := errors.Join(err1, err2, err3, w.Finish(ctx)); err != nil {
			t.Fatal(err)
		}
		b.save("out.qcow2", sink.File())
		b.expectClean("out.qcow2")
		if got := b.truth("out.qcow2"); !bytes.Equal(got, want) {
			t.Errorf("%q: differs at %#x", o, firstDifference(got, want))
		}
	}
	w, err := Format{}.Create(context.Background(), imagefmttest.NewSink("x"), 1<<20, createOptions("backing_file=b backing_fmt=raw"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.WriteAt([]byte("x"), 100); err == nil {
		err = w.Finish(context.Background())
	}
	if !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("part of a cluster over a backing file: %v", err)
	}
}

// TestWriteDevice writes to a device with old bytes on it.
func TestWriteDevice(t *testing.T) {
	b := newBench(t)
	content := pattern(1<<20, 7)
	sink := imagefmttest.NewUsedSink("device", 4<<20)
	writeImage(t, sink, content, "", 0)
	b.save("out.qcow2", sink.File())
	if got := b.truth("out.qcow2"); !bytes.Equal(got, content) {
		t.Errorf("differs at %#x", firstDifference(got, content))
	}
}

func TestWriteRefuse(t *testing.T) {
	ctx := context.Background()
	pipe := imagefmttest.NewSink("pipe")
	pipe.Pipe = true
	if _, err := (Format{}).Create(ctx, pipe, 1<<20, imagefmt.CreateOptions{}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("pipe: %v", err)
	}
	_, err := Format{}.Create(ctx, imagefmttest.NewSink("x"), 1<<20, createOptions("cluster_size=3k compat=4 bogus=1 refcount_bits=3"))
	if err == nil {
		t.Fatal("bad options accepted")
	}
	for _, word := range []string{"cluster_size", "compat", "bogus", "refcount_bits"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in %v", word, err)
		}
	}
	for _, o := range []string{"compat=0.10 extended_l2=on", "extended_l2=on cluster_size=4k", "backing_file=x", "preallocation=some", "preallocation=full backing_file=x backing_fmt=raw", "-c preallocation=full"} {
		if _, err := (Format{}).Create(ctx, imagefmttest.NewSink("x"), 1<<20, createOptions(o)); err == nil {
			t.Errorf("%s accepted", o)
		}
	}
	if _, err := (Format{}).Create(ctx, imagefmttest.NewSink("x"), 1<<40, createOptions("cluster_size=512")); err == nil {
		t.Error("1 TiB in clusters of 512 bytes accepted")
	}
}

// TestAbortLeavesNoImage wants nothing that probes as an image before Finish.
func TestAbortLeavesNoImage(t *testing.T) {
	sink := imagefmttest.NewSink("out")
	ctx := context.Background()
	w, err := Format{}.Create(ctx, sink, 8<<20, imagefmt.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(bytes.Repeat([]byte("x"), 4<<20), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Abort(), w.Abort()); err != nil {
		t.Fatal(err)
	}
	if m, err := (Format{}).Probe(sink.File()); m != ondisk.None || err != nil {
		t.Errorf("probe: %v, %v", m, err)
	}
}

// TestWriteFailureStays wants no image after a write that failed, even when the
// caller goes on.
func TestWriteFailureStays(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, o := range []string{"", "-c"} {
		sink := imagefmttest.NewSink("out")
		w, err := Format{}.Create(context.Background(), sink, 8<<20, createOptions(o))
		if err != nil {
			t.Fatal(err)
		}
		sink.File().OnWrite = func(int64, int) error { return broken }
		_, err = w.WriteAt(imagefmttest.Pattern(0, 4<<20, 1), 0)
		if !errors.Is(err, broken) {
			t.Errorf("%q: write: %v", o, err)
		}
		sink.File().OnWrite = nil
		if err := w.Finish(context.Background()); !errors.Is(err, broken) {
			t.Errorf("%q: finish: %v", o, err)
		}
		if m, _ := (Format{}).Probe(sink.File()); m != ondisk.None {
			t.Errorf("%q: there is an image", o)
		}
	}
}
