package vhdx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestCreate lets qemu-img, libvhdi and 7-Zip read what we write.
func TestCreate(t *testing.T) {
	tests := []struct {
		size int
		opts string
	}{
		{512, ""},
		{512, "subformat=fixed"},
		{40 << 20, ""},
		{40<<20 + 512, "block_size=1M"},
		{40<<20 + 100, "block_size=256M,log_size=2M"},
		{40<<20 + 512, "subformat=fixed,block_size=1M"},
		{40 << 20, "subformat=fixed,block_size=32M,preallocation=full"},
		{40 << 20, "subformat=fixed,preallocation=falloc"},
	}
	for seed, tt := range tests {
		t.Run(fmt.Sprint(tt.size, tt.opts), func(t *testing.T) {
			b := newBench(t)
			content := pattern(tt.size, int64(seed))
			if strings.Contains(tt.opts, "falloc") {
				clear(content)
			}
			sink := imagefmttest.NewSink("disk.vhdx")
			create(t, sink, content, tt.opts)
			content = append(content, make([]byte, -len(content)&511)...)
			b.write("want.raw", content)
			b.save("disk.vhdx", sink.File())
			b.img("check -f vhdx @disk.vhdx")
			b.img("compare -f vhdx -F raw @disk.vhdx @want.raw")
			b.expectLibvhdi(content, "disk.vhdx")
			if len(content)%ondisk.PageSize == 0 { // 7-Zip refuses QEMU's other ones too
				b.expect7Zip(content, "disk.vhdx")
			}
			expectChecked(t, sink.File())
			info := testtool.Run(t, "vhdiinfo", b.path("disk.vhdx"))
			if !strings.Contains(info, fmt.Sprintf("(%d bytes)", len(content))) && len(content) > 1024 {
				t.Errorf("vhdiinfo: %s", info)
			}
		})
	}
}

// expect7Zip wants 7-Zip to unpack content from an image.
func (b *bench) expect7Zip(content []byte, name string) {
	b.t.Helper()
	testtool.Run(b.t, "7zz", "x", "-y", "-o"+b.path("out"), b.path(name))
	names, err := filepath.Glob(b.path("out/*"))
	if err != nil || len(names) != 1 {
		b.t.Fatalf("7-Zip made %v", names)
	}
	got, err := os.ReadFile(names[0])
	if err != nil {
		b.t.Fatal(err)
	}
	expectSame(b.t, "7-Zip", got, content)
}

// TestCreateSparse: a disk of 2039 GiB with little on it is a small file.
func TestCreateSparse(t *testing.T) {
	const size = 2039 << 30
	for _, opts := range []string{"", "block_size=1M", "subformat=fixed,block_size=32M"} {
		b := newBench(t)
		sink := imagefmttest.NewSink("disk.vhdx")
		ctx := context.Background()
		w, err := Format{}.Create(ctx, sink, size, options(opts))
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte{7}, 120_000)
		for _, off := range []int64{1 << 20, 1<<40 + 77, size - 120_000} {
			must(t, w, data, off)
		}
		if err := w.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		if got := sink.File().Allocated(); got > 20<<20 {
			t.Errorf("%s: %d bytes are allocated", opts, got)
		}
		b.save("disk.vhdx", sink.File())
		b.img("check -f vhdx @disk.vhdx")
		// A comparison of the whole would have qemu-img read all the zeros.
		b.io("disk.vhdx", "read -P 0 0 1M", "read -P 7 1M 120000", "read -P 0 1168896 4M", fmt.Sprintf("read -P 0 %d 77", 1<<40),
			fmt.Sprintf("read -P 7 %d 120000", 1<<40+77), fmt.Sprintf("read -P 0 %d 1M", size-120_000-mib), fmt.Sprintf("read -P 7 %d 120000", size-120_000))
	}
}

// TestCreateAllocates as little as qemu-img does.
func TestCreateAllocates(t *testing.T) {
	b := newBench(t)
	content := pattern(40<<20, 3)
	b.write("in.raw", content)
	b.img("convert -f raw -O vhdx -o block_size=2M -S 4k @in.raw @disk.vhdx")
	sink := imagefmttest.NewSink("x")
	create(t, sink, content, "")
	st, err := os.Stat(b.path("disk.vhdx"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sink.File().Size(); got > st.Size()+mib {
		t.Errorf("%d bytes, qemu-img needs %d", got, st.Size())
	}
	var data int64
	for off := 0; off < len(content); off += ondisk.PageSize {
		if !ondisk.IsZero(content[off : off+ondisk.PageSize]) {
			data += ondisk.PageSize
		}
	}
	if got := sink.File().Allocated(); got > data+512*kib {
		t.Errorf("%d bytes are allocated for %d of data", got, data)
	}
}

// TestIdentity: two files have the same identities only when they are told to.
func TestIdentity(t *testing.T) {
	made := func(o imagefmt.CreateOptions) *header {
		sink := imagefmttest.NewSink("x")
		w, err := Format{}.Create(context.Background(), sink, 1<<20, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(context.Background()); err != nil {
			t.Fatal(err)
		}
		h, err := readHeader(sink.File())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	zero := func() imagefmt.CreateOptions { return imagefmt.CreateOptions{Rand: bytes.NewReader(make([]byte, 100))} }
	one := func() imagefmt.CreateOptions {
		return imagefmt.CreateOptions{Rand: bytes.NewReader(bytes.Repeat([]byte{1}, 100))}
	}
	a, b, c, d := made(zero()), made(zero()), made(one()), made(imagefmt.CreateOptions{})
	if a.DataWrite != b.DataWrite || a.DataWrite == c.DataWrite || a.DataWrite == d.DataWrite || a.DataWrite == a.FileWrite {
		t.Errorf("%v %v %v %v", a.DataWrite, b.DataWrite, c.DataWrite, d.DataWrite)
	}
	broken := imagefmt.CreateOptions{Rand: bytes.NewReader(nil)}
	if _, err := (Format{}).Create(context.Background(), imagefmttest.NewSink("x"), 1<<20, broken); err == nil {
		t.Error("no randomness, and no error")
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		opts string
		size int64
	}{
		{"block_size=512k", 1}, {"block_size=3M", 1}, {"block_size=512M", 1}, {"block_size=x", 1}, {"block_size=", 1},
		{"log_size=1500k", 1}, {"log_size=0", 1}, {"log_size=1G", 1}, {"subformat=differencing", 1},
		{"preallocation=full", 1}, {"preallocation=metadata,subformat=fixed", 1}, {"", maxVirtualSize + 1}, {"", -1},
	} {
		if _, err := (Format{}).Create(context.Background(), imagefmttest.NewSink("x"), tt.size, options(tt.opts)); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%s, %d bytes: %v", tt.opts, tt.size, err)
		}
	}
	for _, opts := range []string{"block_size=1048576", "block_size=256m", "log_size=64M"} {
		if _, err := (Format{}).Create(context.Background(), imagefmttest.NewSink("x"), maxVirtualSize, options(opts)); err != nil {
			t.Errorf("%s: %v", opts, err)
		}
	}
}
