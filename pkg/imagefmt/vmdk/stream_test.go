//go:build linux

package vmdk

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// mixed is a disk of noise, text and zeros, grain by grain and finer.
func mixed(size int) []byte {
	rng := rand.New(rand.NewSource(int64(size)))
	p := make([]byte, size)
	for at := 0; at < size; {
		n := min(1+rng.Intn(200_000), size-at)
		switch part := p[at : at+n]; rng.Intn(4) {
		case 0:
			rng.Read(part)
		case 1, 2:
			for i := range part {
				part[i] = "pack my box with five dozen liquor jugs\n"[(i+i*i/977)%40]
			}
		}
		at += n
	}
	return p
}

// packBlocks writes a disk by Encode on several goroutines, and Append.
func packBlocks(t testing.TB, sink imagefmt.Sink, disk []byte, opts imagefmt.CreateOptions, workers int) {
	t.Helper()
	ctx := context.Background()
	w, err := Format{}.Create(ctx, sink, int64(len(disk)), opts)
	if err != nil {
		t.Fatal(err)
	}
	bw := w.(imagefmt.PackedWriter)
	size := bw.BlockSize()
	blocks := make([]imagefmt.Block, (len(disk)+size-1)/size)
	var wg sync.WaitGroup
	for k := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := k; i < len(blocks); i += workers {
				var err error
				if blocks[i], err = bw.Encode(nil, int64(i*size), disk[i*size:min(len(disk), (i+1)*size)]); err != nil {
					t.Errorf("encode: %v", err)
				}
			}
		}()
	}
	wg.Wait()
	for _, b := range blocks {
		if err := bw.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := bw.Finish(ctx); err != nil {
		t.Fatal(err)
	}
}

// walkStream reads a stream by its markers alone, as a program does that gets it
// from a pipe, and compares what the tables say with what was there.
func walkStream(t testing.TB, p []byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	if string(p[:4]) != "KDMV" || le.Uint32(p[4:]) != 3 || le.Uint32(p[8:]) != 0x30001 || le.Uint64(p[56:]) != 1<<64-1 || le.Uint16(p[77:]) != 1 {
		t.Fatalf("header %x", p[:80])
	}
	disk := make([]byte, le.Uint64(p[12:])*512)
	grains, tables := map[uint64]uint32{}, map[uint32]bool{}
	var directory uint32
	var footer []byte
	last := int64(-1)
	at := le.Uint64(p[64:]) * 512
	for {
		value, size, kind := le.Uint64(p[at:]), le.Uint32(p[at+8:]), le.Uint32(p[at+12:])
		sector := uint32(at/512) + 1
		if size > 0 {
			if int64(value) <= last || value%128 != 0 {
				t.Fatalf("grain %d after %d", value, last)
			}
			last = int64(value)
			if size+12 > 129*512 {
				t.Fatalf("grain of %d bytes; VMware has room for 129 sectors", size)
			}
			r, err := zlib.NewReader(bytes.NewReader(p[at+12 : at+12+uint64(size)]))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(r)
			if err != nil || len(plain) != 65536 || ondisk.IsZero(plain) {
				t.Fatalf("grain %d: %d bytes, %v", value, len(plain), err)
			}
			copy(disk[value*512:], plain)
			grains[value/128] = sector - 1
			end := at + 12 + uint64(size)
			at = (end + 511) / 512 * 512
			if !ondisk.IsZero(p[end:at]) {
				t.Fatalf("grain %d is not padded with zeros", value)
			}
			continue
		}
		at += 512 + value*512
		switch kind {
		case 0:
			if value != 0 || at != uint64(len(p)) || footer == nil {
				t.Fatalf("end of stream at %d of %d", at, len(p))
			}
			checkTables(t, p, footer, grains, tables, directory)
			return disk
		case 1:
			if value != 4 {
				t.Fatalf("table of %d sectors", value)
			}
			tables[sector] = true
		case 2:
			directory = sector
		case 3:
			footer = p[sector*512 : sector*512+512]
		default:
			t.Fatalf("marker %d", kind)
		}
	}
}

func checkTables(t testing.TB, p, footer []byte, grains map[uint64]uint32, tables map[uint32]bool, directory uint32) {
	t.Helper()
	le := binary.LittleEndian
	if le.Uint64(footer[56:]) != uint64(directory) || !bytes.Equal(footer[:56], p[:56]) || !bytes.Equal(footer[64:], p[64:512]) {
		t.Errorf("footer %x", footer[:80])
	}
	capacity := le.Uint64(footer[12:])
	for g := range (capacity + 127) / 128 {
		table := le.Uint32(p[uint64(directory)*512+g/512*4:])
		var place uint32
		if table != 0 {
			if !tables[table] {
				t.Fatalf("table %d is where no marker was", table)
			}
			place = le.Uint32(p[uint64(table)*512+g%512*4:])
		}
		if place != grains[g] {
			t.Fatalf("grain %d: table says %d, it is at %d", g, place, grains[g])
		}
	}
}

// TestStream: the stream is the same on a pipe and in a file, from any number of
// workers and from WriteAt, and holds the disk by markers and by tables.
func TestStream(t *testing.T) {
	for _, size := range []int{0, 100, 512, 33<<20 + 122} {
		disk := mixed(size)
		opts := imagefmt.CreateOptions{Compress: true, Level: 1 + size%9}
		var first []byte
		for workers := range 3 {
			sink := imagefmttest.NewSink("disk.vmdk")
			sink.Pipe = workers == 1
			if workers > 0 {
				packBlocks(t, sink, disk, opts, workers)
			} else {
				stretch(t, sink, disk, opts)
			}
			got := sink.File().Bytes()
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Errorf("size %d: %d workers make another stream", size, workers)
			}
		}
		want := append(bytes.Clone(disk), make([]byte, -len(disk)&511)...)
		if !bytes.Equal(walkStream(t, first), want) {
			t.Errorf("size %d: the stream holds another disk", size)
		}
	}
}

// stretch writes a disk by WriteAt, in pieces of odd sizes.
func stretch(t testing.TB, sink imagefmt.Sink, disk []byte, opts imagefmt.CreateOptions) {
	t.Helper()
	w, err := Format{}.Create(context.Background(), sink, int64(len(disk)), opts)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(disk); {
		n := min(len(disk)-at, 1+at%300_000)
		if _, err := w.WriteAt(disk[at:at+n], int64(at)); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	if err := w.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestStreamSize holds the size of our streams against QEMU's.
func TestStreamSize(t *testing.T) {
	dir := t.TempDir()
	disk := mixed(16 << 20)
	sink := imagefmttest.NewSink("disk.vmdk")
	packBlocks(t, sink, disk, imagefmt.CreateOptions{Compress: true}, 2)
	writeFile(t, dir+"/disk.raw", disk)
	testtool.Run(t, "qemu-img", "convert", "-t", "unsafe", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", dir+"/disk.raw", dir+"/theirs.vmdk")
	if ours, theirs := sink.File().Size(), fileSize(t, dir+"/theirs.vmdk"); ours > theirs+theirs/20 {
		t.Errorf("%d bytes, qemu-img's are %d", ours, theirs)
	}
}

func deflated(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p)
	w.Close()
	return b.Bytes()
}

// TestAdopt takes blocks that another program packed, and refuses the others.
func TestAdopt(t *testing.T) {
	disk := mixed(5*grainBytes + 100)
	clear(disk[grainBytes : 2*grainBytes])
	sink := imagefmttest.NewSink("disk.vmdk")
	w, err := Format{}.Create(context.Background(), sink, int64(len(disk)), imagefmt.CreateOptions{Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	bw := w.(imagefmt.PackedWriter)
	for off := 0; off < len(disk); off += grainBytes {
		plain := disk[off:min(len(disk), off+grainBytes)]
		whole := append(bytes.Clone(plain), make([]byte, grainBytes-len(plain))...)
		rest := "what comes after a stream is not part of it"
		b, ok, err := bw.Adopt(nil, imagefmt.PackedBlock{Off: int64(off), Len: len(plain), Codec: imagefmt.Deflate, Data: append(deflated(t, whole), rest...)})
		if !ok || err != nil {
			t.Fatalf("block at %d: %v, %v", off, ok, err)
		}
		if b.Zero != ondisk.IsZero(plain) {
			t.Errorf("block at %d: zero %v", off, b.Zero)
		}
		if err := bw.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := bw.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := walkStream(t, sink.File().Bytes()); !bytes.Equal(got[:len(disk)], disk) || !ondisk.IsZero(got[len(disk):]) {
		t.Error("the stream holds another disk")
	}
	refuseBlocks(t, bw, disk)
}

func refuseBlocks(t *testing.T, bw imagefmt.PackedWriter, disk []byte) {
	grain := deflated(t, disk[:grainBytes])
	broken := bytes.Clone(grain)
	broken[0] = 0xff
	for name, c := range map[string]struct {
		block   imagefmt.PackedBlock
		corrupt bool
	}{
		"zstd":       {imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Zstd, Data: grain}, false},
		"odd offset": {imagefmt.PackedBlock{Off: 512, Len: grainBytes, Codec: imagefmt.Deflate, Data: grain}, false},
		"too long":   {imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Deflate, Data: deflated(t, disk[:grainBytes+1])}, false},
		"half":       {imagefmt.PackedBlock{Len: grainBytes / 2, Codec: imagefmt.Deflate, Data: grain}, false},
		"beyond":     {imagefmt.PackedBlock{Off: 5 * grainBytes, Len: 100, Codec: imagefmt.Deflate, Data: deflated(t, bytes.Repeat([]byte{7}, grainBytes))}, false},
		"short last": {imagefmt.PackedBlock{Off: 5 * grainBytes, Len: 100, Codec: imagefmt.Deflate, Data: deflated(t, disk[:100])}, false},
		"short":      {imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Deflate, Data: deflated(t, disk[:grainBytes-1])}, true},
		"cut":        {imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Deflate, Data: grain[:len(grain)-1]}, true},
		"broken":     {imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Deflate, Data: broken}, true},
		"empty":      {imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Deflate}, true},
	} {
		_, ok, err := bw.Adopt(nil, c.block)
		if ok || errors.Is(err, ondisk.ErrCorrupt) != c.corrupt || !c.corrupt && err != nil {
			t.Errorf("%s: adopted %v, %v", name, ok, err)
		}
	}
}

// TestEncodeGarbage: packing grain after grain takes no new memory.
func TestEncodeGarbage(t *testing.T) {
	w, err := Format{}.Create(context.Background(), imagefmttest.NewSink("x"), 1<<30, imagefmt.CreateOptions{Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	bw := w.(imagefmt.PackedWriter)
	plain, noise := mixed(grainBytes), imagefmttest.Pattern(0, grainBytes, 1)
	block := imagefmt.PackedBlock{Len: grainBytes, Codec: imagefmt.Deflate, Data: deflated(t, plain)}
	dst := make([]byte, 0, grainBytes+1024)
	n := testing.AllocsPerRun(50, func() {
		_, err1 := bw.Encode(dst, 0, plain)
		_, err2 := bw.Encode(dst, 0, noise)
		_, _, err3 := bw.Adopt(dst, block)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 { // a collection may empty the pools
		t.Errorf("%v allocations", n)
	}
}

// TestFileTooBig: entries of grain tables end at 2 TiB.
func TestFileTooBig(t *testing.T) {
	s := &stream{tape: tape{sink: imagefmttest.NewSink("x"), at: (maxFileSectors - 2) * sectorSize}, table: make([]byte, tableBytes)}
	if err := s.store(make([]byte, 1024), 0); err != nil {
		t.Errorf("up to 2 TiB: %v", err)
	}
	if err := s.store(make([]byte, 512), grainBytes); !errors.Is(err, ondisk.ErrTooBig) || !strings.Contains(err.Error(), "2 TiB") {
		t.Errorf("beyond 2 TiB: %v", err)
	}
	e, err := newSparseExtent(imagefmttest.NewSink("x"), 1<<33, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.next = maxFileSectors - 2*defaultGrainSectors
	p := imagefmttest.Pattern(0, 3*grainBytes, 1)
	if err := e.put(p[:2*grainBytes], 0); err != nil {
		t.Errorf("up to 2 TiB: %v", err)
	}
	if err := e.put(p[2*grainBytes:], 2*grainBytes); !errors.Is(err, ondisk.ErrTooBig) {
		t.Errorf("beyond 2 TiB: %v", err)
	}
}
