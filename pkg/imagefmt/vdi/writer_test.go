package vdi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

type values = map[string]string

// create writes content to an image of the folder, in pieces that end anywhere;
// pieces of zeros are left out or declared, by turns.
func (b *bench) create(name string, size int64, content []byte, opts imagefmt.CreateOptions) {
	b.t.Helper()
	ctx := context.Background()
	out, err := osfile.Create(b.path(name), osfile.CreateOptions{Overwrite: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Abort()
	w, err := Format{}.Create(ctx, out, size, opts)
	if err != nil {
		b.t.Fatal(err)
	}
	const piece = 333_333
	for at := 0; at < len(content); at += piece {
		p := content[at:min(at+piece, len(content))]
		switch {
		case ondisk.IsZero(p) && at%2 == 0:
		case ondisk.IsZero(p):
			err = w.Zero(int64(at), int64(len(p)))
		default:
			_, err = w.WriteAt(p, int64(at))
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if err := errors.Join(w.Finish(ctx), out.Commit(ctx)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) allocated(name string) int64 {
	b.t.Helper()
	var n int64
	if _, err := fmt.Sscan(testtool.Run(b.t, "du", "-B1", b.path(name)), &n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestCreate: qemu-img and 7-Zip read what we write, and find nothing wrong.
func TestCreate(t *testing.T) {
	variants := []values{
		nil, {"subformat": "static"}, {"static": "on"}, {"preallocation": "metadata"},
		{"subformat": "static", "preallocation": "falloc"}, {"static": "on", "preallocation": "full"},
	}
	for i, v := range variants {
		for _, size := range []int64{512, 40 * mib, 40*mib + 512, 40*mib + 100} {
			if i > 1 && size != 40*mib+100 {
				continue
			}
			t.Run(fmt.Sprint(v, size), func(t *testing.T) {
				b := newBench(t)
				content := pattern(size, uint64(size)+1)
				b.write("in.raw", padded(content))
				b.create("disk.vdi", size, content, imagefmt.CreateOptions{Values: v})
				b.expectSame("disk.vdi", "in.raw")
				reserved := v["preallocation"] == "falloc" || v["preallocation"] == "full"
				if got, data := b.allocated("disk.vdi"), b.allocated("in.raw"); (got > data+16<<10) != reserved && size > mib {
					t.Errorf("%d bytes are allocated for %d of data", got, data)
				}
			})
		}
	}
}

// TestCreateSparse: 2039 GiB with little on them are a small file, which qemu-img
// finds without error.
func TestCreateSparse(t *testing.T) {
	const size = 2039 << 30
	for _, v := range []values{nil, {"subformat": "static"}} {
		b := newBench(t)
		ctx := context.Background()
		out, err := osfile.Create(b.path("disk.vdi"), osfile.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Abort()
		raw, err := os.Create(b.path("in.raw"))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		w, err := Format{}.Create(ctx, out, size, imagefmt.CreateOptions{Values: v})
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []int64{0, 300<<30 + 5, 300<<30 + 2*mib, size - 700} {
			p := imagefmttest.Pattern(off, 700, 1)
			_, err := w.WriteAt(p, off)
			_, err2 := raw.WriteAt(p, off)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Finish(ctx), out.Commit(ctx)); err != nil {
			t.Fatal(err)
		}
		b.img("check -f vdi @disk.vdi")
		if got := b.allocated("disk.vdi"); got > 9*mib { // of map
			t.Errorf("%d bytes are allocated", got)
		}
		if v == nil { // of the static one, qemu-img would read every byte
			b.img("compare -f vdi -F raw @disk.vdi @in.raw")
		}
	}
}

// TestCreateIdentity: an image has UUIDs of its own, from what it was given.
func TestCreateIdentity(t *testing.T) {
	header := func(seed string) []byte {
		sink := imagefmttest.NewSink("x")
		w, err := Format{}.Create(context.Background(), sink, mib, imagefmt.CreateOptions{Rand: bytes.NewReader([]byte(seed))})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(context.Background()); err != nil {
			t.Fatal(err)
		}
		return sink.File().Bytes()[0x188:0x1c8]
	}
	a, b := header("0123456789abcdef0123456789ABCDEF"), header("ffffffffffffffffffffffffffffffff")
	if bytes.Equal(a[:16], b[:16]) || bytes.Equal(a[:16], a[16:32]) || !ondisk.IsZero(a[32:]) {
		t.Errorf("UUIDs % x, % x", a, b)
	}
}

func TestCreateRefuse(t *testing.T) {
	for _, opts := range []imagefmt.CreateOptions{
		{Values: values{"subformat": "fixed"}},
		{Values: values{"subformat": "dynamic", "static": "on"}},
		{Values: values{"static": "off", "subformat": "static"}},
		{Values: values{"subformat": "dynamic", "preallocation": "metadata"}},
		{Values: values{"preallocation": "full"}},
		{Compress: true},
	} {
		if _, err := (Format{}).Create(context.Background(), imagefmttest.NewSink("x"), mib, opts); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%v: %v", opts, err)
		}
	}
	if _, err := (Format{}).Create(context.Background(), imagefmttest.NewSink("x"), 1<<50, imagefmt.CreateOptions{}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("1 PiB: %v", err)
	}
}
