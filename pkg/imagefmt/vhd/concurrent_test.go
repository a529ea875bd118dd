package vhd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestConcurrent reads by several goroutines, from caches that are too small,
// while one adds blocks elsewhere.
func TestConcurrent(t *testing.T) {
	content := pattern(4<<20, 3)
	f := created(t, content, "block_size=512k")
	img, err := Format{}.Update(t.Context(), f, imagefmt.OpenOptions{Limits: ondisk.Limits{Cache: 1 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	const half = 2 << 20
	var wg sync.WaitGroup
	for k := range uint64(3) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(k, 1))
			buf := make([]byte, 10_000)
			for range 200 {
				off := r.Int64N(half - int64(len(buf)))
				if err := ondisk.Full(img, buf, off); err != nil || !bytes.Equal(buf, content[off:off+int64(len(buf))]) {
					t.Errorf("read at %d: %v, or it differs", off, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := range int64(100) {
			if _, err := img.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 5000), half+i*20_000); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
}

// TestFailingSource keeps a failing disk apart from a corrupt image.
func TestFailingSource(t *testing.T) {
	broken := errors.New("the disk is broken")
	folder, _ := family(t)
	for _, name := range folder.Names() {
		for after := range 10 {
			n := 0
			folder.Get(name).OnRead = func(int64, int) error {
				if n++; n > after {
					return broken
				}
				return nil
			}
			img, err := registry.Open(t.Context(), folder.Get("grandchild.vhd"), "vhd", imagefmt.OpenOptions{})
			if err == nil {
				_, err = readAll(img)
			}
			if err != nil && !errors.Is(err, broken) || errors.Is(err, ondisk.ErrCorrupt) || err == nil && after < 5 {
				t.Errorf("%s failing after %d reads: %v", name, after, err)
			}
		}
		folder.Get(name).OnRead = nil
	}
}
