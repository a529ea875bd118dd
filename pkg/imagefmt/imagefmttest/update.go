package imagefmttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// testUpdate: an image that was changed where it lies holds the changes and all
// else, seen by the same handle and by a new one.
func (s *suite) testUpdate(t *testing.T) {
	updater, ok := s.Format.(imagefmt.Updater)
	if !ok {
		return
	}
	ctx := context.Background()
	size, parts := s.sample()
	file := s.must(t, NewSink("x"), size, parts...)
	disk := s.disk(size, parts...)
	r := rand.New(rand.NewPCG(2, 2))
	for round := range 3 {
		img, err := updater.Update(ctx, file, imagefmt.OpenOptions{})
		if s.opts.Compress && errors.Is(err, ondisk.ErrUnsupported) {
			return // a stream can only be made anew
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			off := r.IntN(len(disk))
			n := min(len(disk)-off, r.IntN(int(s.Cluster)*3/2))
			p := Pattern(int64(off), n, uint64(round*100+i+2))
			if i%5 == 4 {
				clear(p)
			}
			if _, err := img.WriteAt(p, int64(off)); err != nil {
				t.Fatalf("WriteAt(%d bytes, %d): %v", n, off, err)
			}
			copy(disk[off:], p)
		}
		if _, err := img.WriteAt(make([]byte, 2), img.Size()-1); err == nil {
			t.Error("a write over the end was accepted")
		}
		Device(t, img, disk)
		if err := img.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
		Device(t, s.open(t, file), disk)
	}
}
