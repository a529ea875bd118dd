package vmdk

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// readPacked fills p from a compressed grain, from offset off of extent x. The
// grain is unpacked straight into p when all of it is wanted, else by way of a
// small cache, for small reads one after another.
func (img *image) readPacked(p []byte, off int64, x *extent, r run) error {
	m := x.m
	first := ondisk.AlignDown(off, m.grain)
	want := min(m.grain, m.size-first) // the last grain may be cut off
	if off == first && int64(len(p)) == want {
		return img.unpack(p, m, r)
	}
	whole := img.grains.Get(x.start + first)
	if whole == nil {
		whole = make([]byte, want)
		if err := img.unpack(whole, m, r); err != nil {
			return err
		}
		whole = img.grains.Put(x.start+first, whole)
	}
	copy(p, whole[off-first:])
	return nil
}

// unpack decodes the grain of r into dst.
func (img *image) unpack(dst []byte, m *mapping, r run) error {
	buf := img.buffers.Get().(*[]byte)
	defer img.buffers.Put(buf)
	stream, err := m.readStream(buf, r)
	if err != nil {
		return err
	}
	return unzlib(dst, stream, m.grain)
}

// readStream reads the compressed data of a grain, its marker left out, into buf.
// Mostly one read gets all of it.
func (m *mapping) readStream(buf *[]byte, r run) ([]byte, error) {
	guess := min(max(r.stored, grainMarkerSize), m.file.Size()-r.host)
	p := resize(buf, guess)
	if err := ondisk.Full(m.file, p, r.host); err != nil {
		return nil, err
	}
	if guess < grainMarkerSize {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the marker ends beyond the end of the file")
	}
	n := grainMarkerSize + int64(decodeSize(p))
	switch {
	case n == grainMarkerSize:
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the marker is not that of a grain")
	case n > m.maxStored:
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%d bytes of compressed data for a grain of %d", n-grainMarkerSize, m.grain)
	case n > guess:
		p = resize(buf, n)
		if err := ondisk.Full(m.file, p[guess:], r.host+guess); err != nil {
			return nil, err
		}
	}
	return p[grainMarkerSize:n], nil
}

// resize makes buf at least n bytes long and keeps what is in it.
func resize(buf *[]byte, n int64) []byte {
	if int64(cap(*buf)) < n {
		*buf = append(make([]byte, 0, n), (*buf)...)
	}
	*buf = (*buf)[:n]
	return *buf
}

// unzlibber is a decoder with its input, kept for the next grain.
type unzlibber struct {
	in  bytes.Reader
	out io.ReadCloser
}

var unzlibbers sync.Pool // of *unzlibber

// newUnzlibber prepares a decoder for a stream, whose header it reads.
func newUnzlibber(stream []byte) (*unzlibber, error) {
	if f, ok := unzlibbers.Get().(*unzlibber); ok {
		f.in.Reset(stream)
		return f, f.out.(zlib.Resetter).Reset(&f.in, nil)
	}
	f := &unzlibber{}
	f.in.Reset(stream)
	var err error
	f.out, err = zlib.NewReader(&f.in)
	return f, err
}

// unzlib fills dst from a stream of RFC 1950, and checks its checksum. The
// stream holds a grain: no less than dst, and no more than the grain. More is
// never decoded.
func unzlib(dst, stream []byte, grain int64) error {
	f, err := newUnzlibber(stream)
	if err != nil {
		return ondisk.Because(ondisk.ErrCorrupt, "zlib stream: %v", err)
	}
	defer unzlibbers.Put(f)
	if n, err := io.ReadFull(f.out, dst); err != nil {
		return ondisk.Because(ondisk.ErrCorrupt, "zlib stream: %v after %d of %d bytes", err, n, len(dst))
	}
	surplus, err := io.CopyN(io.Discard, f.out, grain-int64(len(dst))+1)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return ondisk.Because(ondisk.ErrCorrupt, "zlib stream: %v", err)
	}
	return ondisk.Because(ondisk.ErrCorrupt, "zlib stream: more than %d bytes", int64(len(dst))+surplus-1)
}
