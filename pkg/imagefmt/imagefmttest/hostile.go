package imagefmttest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// errDevice is the failure of a device in tests.
var errDevice = errors.New("imagefmttest: the device fails")

// testFailingSink: whichever write fails, Finish or an earlier call says so.
func (s *suite) testFailingSink(t *testing.T) {
	size, parts := s.sample()
	writes := 0
	sink := NewSink("x")
	sink.File().OnWrite = func(int64, int) error { writes++; return nil }
	s.must(t, sink, size, parts...)
	for fail := range writes {
		if writes > 40 && fail%(writes/40) != 0 {
			continue
		}
		sink, n := NewSink("x"), 0
		sink.File().OnWrite = func(int64, int) error {
			if n++; n > fail {
				return errDevice
			}
			return nil
		}
		if err := s.write(sink, size, parts...); !errors.Is(err, errDevice) {
			t.Errorf("write %d of %d failed: %v", fail, writes, err)
		}
	}
}

// testFailingSource: a failing disk is not a corrupt image, and stays open.
func (s *suite) testFailingSource(t *testing.T) {
	size, parts := s.sample()
	src := s.must(t, NewSink("x"), size, parts...)
	for fail := range 20 {
		n := 0
		src.OnRead = func(int64, int) error {
			if n++; n > fail {
				return errDevice
			}
			return nil
		}
		closed := src.Closed()
		img, err := s.Format.Open(context.Background(), src, imagefmt.OpenOptions{})
		if err == nil {
			_, err = img.ReadAt(make([]byte, size), 0)
			if err == nil || err == io.EOF {
				continue // no read was left to fail
			}
			closed = src.Closed()
		}
		if !errors.Is(err, errDevice) || errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("read %d failed: %v", fail, err)
		}
		if src.Closed() != closed {
			t.Error("Open failed and closed its source")
		}
	}
}

// testCut: an image that ends early is an error that has its sentinel, or can
// be read.
func (s *suite) testCut(t *testing.T) {
	size, parts := s.sample()
	image := s.must(t, NewSink("x"), size, parts...)
	whole := image.Bytes()
	cuts := []int{0, 1, 511, 512, 513, len(whole) - 513, len(whole) - 512, len(whole) - 1}
	for n := 4; n < len(whole); n *= 2 {
		cuts = append(cuts, n-1, n, n+len(whole)%n)
	}
	for at := 0; at < len(whole); at += int(s.Cluster) {
		cuts = append(cuts, at)
	}
	slices.Sort(cuts)
	for _, n := range slices.Compact(cuts) {
		if n >= 0 && n < len(whole) {
			s.survive(t, image.folder.Put("x", whole[:n:n])) // its further files are beside it
		}
	}
}

// testFlipped: an image with wrong bytes in its structures is an error that has
// its sentinel, or can be read, whatever comes.
func (s *suite) testFlipped(t *testing.T) {
	if s.Headerless {
		return
	}
	size, parts := s.sample()
	src := s.must(t, NewSink("x"), size, parts...)
	whole := src.Bytes()
	places := map[int]bool{}
	for i := range 640 {
		places[i] = true
		places[len(whole)-1-i] = true
	}
	for i := 0; i < len(whole); i += int(s.Cluster) {
		for j := range 16 {
			places[i+j] = true
		}
	}
	for at := range places {
		if at < 0 || at >= len(whole) {
			continue
		}
		for _, x := range []byte{0x01, 0x80, 0xff, 0} { // the last one mends it
			src.store([]byte{whole[at] ^ x}, int64(at))
			if x != 0 {
				s.survive(t, src)
			}
		}
	}
}

// survive opens and reads what may be no image. Panics fail the test by
// themselves; reads are few, since the size may be a lie.
func (s *suite) survive(t *testing.T, src *MemFile) {
	t.Helper()
	if _, err := s.Format.Probe(src); err != nil {
		t.Errorf("Probe of a damaged image: %v", err)
	}
	img, err := s.Format.Open(context.Background(), src, imagefmt.OpenOptions{})
	if err != nil {
		classified(t, err)
		return
	}
	defer img.Close()
	p := make([]byte, 2*s.Cluster)
	for off := int64(0); off < min(img.Size(), 16*s.Cluster); off += int64(len(p)) {
		if _, err := img.ReadAt(p, off); err != nil && err != io.EOF {
			classified(t, err)
		}
	}
	if _, err := img.ReadAt(p[:1], max(0, img.Size()-1)); err != nil && err != io.EOF {
		classified(t, err)
	}
	n := 0
	for _, err := range blockdev.Extents(t.Context(), img, 0, img.Size()) {
		if err != nil {
			classified(t, err)
		}
		if n++; n > 1000 {
			break
		}
	}
}

// classified checks that an error about an image has one of the sentinels, or
// says that a file is not there which the image names.
func classified(t *testing.T, err error) {
	t.Helper()
	for _, sentinel := range []error{
		ondisk.ErrFormat, ondisk.ErrCorrupt, ondisk.ErrUnsupported, ondisk.ErrEncrypted, ondisk.ErrTooBig, ondisk.ErrBlocked, fs.ErrNotExist,
	} {
		if errors.Is(err, sentinel) {
			return
		}
	}
	t.Errorf("an error without a sentinel: %v", err)
}
