package convert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/qcow2"
)

// sparse is a disk of 40 MiB with data of all kinds: incompressible, regular,
// unaligned, and holes between.
func sparse() blockdev.Device {
	p := make([]byte, 40<<20+512)
	x := uint32(1)
	for i := 5 << 20; i < 9<<20+777; i++ {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	for i := 20<<20 + 5; i < 27<<20; i++ {
		p[i] = byte(i >> 9)
	}
	p[len(p)-1] = 1
	return blockdev.FromBytes(p)
}

func copied(t *testing.T, src blockdev.Device, pack bool) []byte {
	t.Helper()
	ctx := context.Background()
	folder := imagefmttest.NewFolder()
	w, err := qcow2.Format{}.Create(ctx, folder.Sink("out"), src.Size(), imagefmt.CreateOptions{Compress: pack})
	if err != nil {
		t.Fatal(err)
	}
	if err := Copy(ctx, w, src, pack, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	file := folder.Get("out")
	out := make([]byte, file.Size())
	if _, err := file.ReadAt(out, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return out
}

// TestCopySameBytes: the output does not depend on the number of cores.
func TestCopySameBytes(t *testing.T) {
	src := sparse()
	for _, pack := range []bool{false, true} {
		var first []byte
		for _, cores := range []int{1, 2, 7} {
			old := runtime.GOMAXPROCS(cores)
			out := copied(t, src, pack)
			runtime.GOMAXPROCS(old)
			if first == nil {
				first = out
			}
			if !bytes.Equal(first, out) {
				t.Errorf("pack %v: other bytes on %d cores", pack, cores)
			}
		}
	}
}

// faulty fails to read at one place.
type faulty struct {
	inner blockdev.Device
	at    int64
}

var errDisk = errors.New("the disk is broken")

func (f faulty) Size() int64 { return f.inner.Size() }
func (f faulty) ReadAt(p []byte, off int64) (int, error) {
	if off <= f.at && f.at < off+int64(len(p)) {
		return 0, errDisk
	}
	return f.inner.ReadAt(p, off)
}

func TestCopyReadError(t *testing.T) {
	ctx := context.Background()
	src := faulty{sparse(), 21 << 20}
	w, err := qcow2.Format{}.Create(ctx, imagefmttest.NewSink("out"), src.Size(), imagefmt.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = Copy(ctx, w, src, false, nil)
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "0x1400000") {
		t.Fatalf("the error does not say where: %v", err)
	}
}

func TestCopyCancel(t *testing.T) {
	src := sparse()
	for _, after := range []int64{0, 6 << 20, 22 << 20} {
		ctx, cancel := context.WithCancel(context.Background())
		if after == 0 {
			cancel()
		}
		w, err := qcow2.Format{}.Create(context.Background(), imagefmttest.NewSink("out"), src.Size(), imagefmt.CreateOptions{Compress: true})
		if err != nil {
			t.Fatal(err)
		}
		err = Copy(ctx, w, src, true, func(e ondisk.Event) {
			if e.Done > after {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %d bytes: %v", after, err)
		}
		cancel()
	}
}
