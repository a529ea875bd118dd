package qcow2

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os/exec"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// verdict is what qemu-img check says, and what we say in its words.
type verdict struct {
	Corruptions int   `json:"corruptions"`
	Leaks       int   `json:"leaks"`
	Total       int64 `json:"total-clusters"`
	Allocated   int64 `json:"allocated-clusters"`
	End         int64 `json:"image-end-offset"`
	broken      bool  // it cannot be opened, or not be checked to the end
}

// class is the word for all of it.
func (v verdict) class() string {
	switch {
	case v.broken:
		return "broken"
	case v.Corruptions > 0:
		return "corrupt"
	case v.Leaks > 0:
		return "leaks"
	default:
		return "clean"
	}
}

func (b *bench) theirVerdict(args string) (verdict, string) {
	b.t.Helper()
	var out, messages bytes.Buffer
	cmd := exec.Command("qemu-img", b.words("check --output=json "+args)...)
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var v verdict
	if json.Unmarshal(out.Bytes(), &v) != nil {
		if err == nil {
			b.t.Fatalf("qemu-img check: %s", out.String())
		}
		v.broken = true
	}
	return v, messages.String()
}

func ourVerdict(src imagefmt.Source) (verdict, error) {
	r, err := Format{}.Check(context.Background(), src, imagefmt.OpenOptions{}, nil)
	v := verdict{r.Corrupt, r.Leaked, r.Blocks, r.Allocated, r.End, err != nil}
	if err == nil {
		for _, text := range append(r.Corruptions, r.Leaks...) {
			err = fmt.Errorf("%v\n%s", err, text)
		}
	}
	return v, err
}

func TestCheckClean(t *testing.T) {
	tests := []struct{ name, options string }{
		{"default", ""},
		{"v2", "-o compat=0.10"},
		{"cluster 512", "-o cluster_size=512"},
		{"cluster 2M", "-o cluster_size=2M"},
		{"zlib", "-c"},
		{"zlib 4k", "-c -o cluster_size=4k"},
		{"zstd", "-c -o compression_type=zstd"},
		{"extended", "-o extended_l2=on"},
		{"extended zlib", "-c -o extended_l2=on"},
		{"refcount 1", "-o refcount_bits=1"},
		{"refcount 4", "-c -o refcount_bits=8"},
		{"refcount 64", "-o refcount_bits=64"},
		{"lazy", "-o lazy_refcounts=on"},
		{"metadata", "-o preallocation=metadata"},
		{"data file", "-o data_file=disk.data"},
		{"raw data file", "-o data_file=disk.data,data_file_raw=on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(diskSize, 7))
			b.img("convert -f raw -O qcow2 " + tt.options + " @in.raw @disk.qcow2")
			b.expectVerdict("disk.qcow2", "clean")
		})
	}
}

// expectVerdict holds our numbers against those of qemu-img.
func (b *bench) expectVerdict(name, class string) {
	b.t.Helper()
	theirs, messages := b.theirVerdict("-f qcow2 @" + name)
	ours, err := ourVerdict(imagefmttest.NewSource(name, b.read(name)))
	if ours != theirs || ours.class() != class {
		b.t.Errorf("%s image: we say %+v (%v)\nqemu-img says %+v\n%s", class, ours, err, theirs, messages)
	}
}

// busyImage has snapshots, bitmaps, shared and compressed clusters, and zeros.
func (b *bench) busyImage(options string) {
	b.t.Helper()
	b.write("in.raw", pattern(diskSize, 9))
	b.img("convert -f raw -O qcow2 " + options + " @in.raw @disk.qcow2")
	b.img("snapshot -c one @disk.qcow2")
	b.io("disk.qcow2", "write -P 1 64k 300k", "write -z 1M 128k", "discard 2M 100k")
	b.img("snapshot -c two @disk.qcow2")
	b.img("bitmap --add @disk.qcow2 bits")
	b.io("disk.qcow2", "write -P 2 3M 1000k", "write -z -u 64k 64k")
}

func TestCheckBusy(t *testing.T) {
	for _, options := range []string{"", "-c -o compression_type=zstd", "-o extended_l2=on", "-o cluster_size=4k,refcount_bits=8"} {
		t.Run(options, func(t *testing.T) {
			b := newBench(t)
			b.busyImage(options)
			b.expectVerdict("disk.qcow2", "clean")
			b.img("snapshot -d one @disk.qcow2")
			b.expectVerdict("disk.qcow2", "clean")
		})
	}
}

func TestCheckEncrypted(t *testing.T) {
	b := newBench(t)
	secret := "--object secret,id=s,data=abc "
	b.img("create -q -f qcow2 " + secret + "-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 @disk.qcow2 2M")
	theirs, messages := b.theirVerdict(secret + "--image-opts driver=qcow2,file.filename=@disk.qcow2,encrypt.key-secret=s")
	ours, err := ourVerdict(imagefmttest.NewSource("disk.qcow2", b.read("disk.qcow2")))
	if ours != theirs || ours.class() != "clean" {
		t.Errorf("we say %+v (%v)\nqemu-img says %+v\n%s", ours, err, theirs, messages)
	}
}

// places of the tables of a small image by qemu-img
type places struct{ refTable, refBlock, l1, l2, data int64 }

func (b *bench) places(name string) places {
	b.t.Helper()
	p := b.read(name)
	word := func(at int64) int64 { return int64(binary.BigEndian.Uint64(p[at:]) & offsetMask) }
	pl := places{refTable: word(offRefcountTable), l1: word(40)}
	pl.refBlock, pl.l2 = word(pl.refTable), word(pl.l1)
	pl.data = word(pl.l2)
	return pl
}

func TestCheckDamage(t *testing.T) {
	tests := []struct {
		name, class string
		patch       func(pl places) (off int64, p []byte)
	}{
		{"leak", "leaks", func(pl places) (int64, []byte) { return pl.refBlock, []byte{0, 2} }},
		{"lost entry", "leaks", func(pl places) (int64, []byte) { return pl.l2, be64(0) }},
		{"lost table", "leaks", func(pl places) (int64, []byte) { return pl.l1, be64(0) }},
		{"count of zero", "corrupt", func(pl places) (int64, []byte) { return pl.refBlock + 2*(pl.data>>16), []byte{0, 0} }},
		{"count of L1", "corrupt", func(pl places) (int64, []byte) { return pl.refBlock + 2*(pl.l1>>16), []byte{0, 0} }},
		{"two owners", "corrupt", func(pl places) (int64, []byte) { return pl.l2 + 8, be64(uint64(pl.data) | flagCopied) }},
		{"no copied flag", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(uint64(pl.data)) }},
		{"no copied flag in L1", "corrupt", func(pl places) (int64, []byte) { return pl.l1, be64(uint64(pl.l2)) }},
		{"not aligned", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(uint64(pl.data+512) | flagCopied) }},
		{"behind the end", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(1<<40 | flagCopied) }},
		{"compressed behind the end", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(1<<40 | flagPacked) }},
		{"compressed and copied", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(uint64(pl.data) | flagPacked | flagCopied) }},
		{"data in a table", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(uint64(pl.l2) | flagCopied) }},
		{"no refcount block", "corrupt", func(pl places) (int64, []byte) { return pl.refTable, be64(0) }},
		{"odd refcount block", "corrupt", func(pl places) (int64, []byte) { return pl.refTable, be64(uint64(pl.refBlock) + 1024) }},
		{"far refcount block", "corrupt", func(pl places) (int64, []byte) { return pl.refTable + 8, be64(1 << 40) }},
		{"reserved bits", "corrupt", func(pl places) (int64, []byte) { return pl.l2, be64(uint64(pl.data) | flagCopied | 1<<57) }},
	}
	b := newBench(t)
	b.write("in.raw", bytes.Repeat([]byte("data"), 1<<18))
	b.img("convert -f raw -O qcow2 @in.raw @good.qcow2")
	good, pl := b.read("good.qcow2"), b.places("good.qcow2")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := bytes.Clone(good)
			off, p := tt.patch(pl)
			copy(bad[off:], p)
			b.write("bad.qcow2", bad)
			theirs, messages := b.theirVerdict("-f qcow2 @bad.qcow2")
			ours, err := ourVerdict(imagefmttest.NewSource("bad.qcow2", bad))
			if ours.class() != tt.class || theirs.class() != tt.class {
				t.Errorf("we say %s: %v\nqemu-img says %s: %s", ours.class(), err, theirs.class(), messages)
			}
			if tt.class == "leaks" && ours != theirs {
				t.Errorf("we say %+v, qemu-img says %+v", ours, theirs)
			}
		})
	}
}

// TestCheckRandom flips bits of tables and compares the verdicts.
func TestCheckRandom(t *testing.T) {
	b := newBench(t)
	for _, options := range []string{"", "-c -o cluster_size=4k", "-o extended_l2=on"} {
		b.busyImage(options)
		good := b.read("disk.qcow2")
		tables := metadata(t, good)
		rng := rand.New(rand.NewSource(4))
		for range 12 {
			bad := bytes.Clone(good)
			var at []int64
			for range 1 + rng.Intn(2) {
				off := tables[rng.Intn(len(tables))]
				bad[off] ^= 1 << rng.Intn(8)
				at = append(at, off)
			}
			b.write("bad.qcow2", bad)
			theirs, messages := b.theirVerdict("-f qcow2 @bad.qcow2")
			ours, err := ourVerdict(imagefmttest.NewSource("bad.qcow2", bad))
			if ours.class() != theirs.class() {
				t.Errorf("%s, changed at %#x: we say %s: %v\nqemu-img says %s: %s", options, at, ours.class(), err, theirs.class(), messages)
			}
		}
	}
}

// metadata lists the bytes of the tables that hold something.
func metadata(t *testing.T, file []byte) (at []int64) {
	t.Helper()
	src := imagefmttest.NewSource("x", file)
	h, err := readHeader(src, ondisk.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{geometry: h.geometry, src: src, hdr: h, limits: ondisk.DefaultLimits}
	if err := c.gather(); err != nil {
		t.Fatal(err)
	}
	add := func(off, n int64) {
		for i := off; i < off+n; i++ {
			if file[i] != 0 {
				at = append(at, i)
			}
		}
	}
	for _, a := range c.areas {
		if strings.HasPrefix(a.name, "refcount") || a.name == "L1 table" {
			add(a.off, a.n)
		}
	}
	for _, tb := range c.tables {
		add(tb.off, c.clusterSize())
	}
	return at
}

// TestCheckParts counts a file in parts that are smaller than the file.
func TestCheckParts(t *testing.T) {
	b := newBench(t)
	b.busyImage("-o cluster_size=4k")
	src := imagefmttest.NewSource("disk.qcow2", b.read("disk.qcow2"))
	want, err := Format{}.Check(context.Background(), src, imagefmt.OpenOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	small := imagefmt.OpenOptions{Limits: ondisk.Limits{Table: 4096}}
	got, err := Format{}.Check(context.Background(), src, small, nil)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("in parts: %+v, %v\nin one: %+v", got, err, want)
	}
}

// TestCheckHuge: a file that claims more clusters than can be counted is refused
// at once.
func TestCheckHuge(t *testing.T) {
	sink := imagefmttest.NewSink("out")
	writeImage(t, sink, pattern(1<<20, 1), "cluster_size=512", 0)
	if err := sink.File().Truncate(1 << 50); err != nil {
		t.Fatal(err)
	}
	_, err := Format{}.Check(context.Background(), sink.File(), imagefmt.OpenOptions{}, nil)
	if !errors.Is(err, ondisk.ErrTooBig) {
		t.Errorf("%v", err)
	}
}
