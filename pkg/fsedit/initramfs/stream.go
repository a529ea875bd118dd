package initramfs

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxWindow is the largest history that a decompressor may ask for: what the
// kernel grants to zstd, and more than any generator uses.
const maxWindow = 128 << 20

// stream is the plain side of one compressed segment.
type stream struct {
	io.Reader
	used  func() int64 // bytes of the file that the segment fills, after io.EOF
	close func()
}

// openStream opens the frame of method m at off.
func openStream(r io.ReaderAt, off, size int64, m Method) (*stream, error) {
	switch m {
	case Gzip:
		return openGzip(r, off, size)
	case Bzip2:
		return openBzip2(r, off, size), nil
	case LZMA:
		return openLZMA(r, off, size)
	case XZ:
		return openXZ(r, off, size)
	case LZ4:
		z := &lz4Reader{src: r, off: off, pos: off, size: size}
		return &stream{Reader: z, used: func() int64 { return z.pos - off }, close: nop}, nil
	case Zstd:
		return openZstd(r, off, size)
	}
	return nil, ondisk.Because(ondisk.ErrUnsupported, "compressed with %s, which cannot be read yet", m)
}

func nop() {}

// counter is a buffered source that knows how much its user consumed.
type counter struct {
	*bufio.Reader
	total int64
}

type countedSource struct {
	src io.Reader
	n   *int64
}

func (s countedSource) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	*s.n += int64(n)
	return n, err
}

func newCounter(r io.ReaderAt, off, size int64) *counter {
	c := &counter{}
	c.Reader = bufio.NewReaderSize(countedSource{io.NewSectionReader(r, off, size-off), &c.total}, 64<<10)
	return c
}

func (c *counter) used() int64 { return c.total - int64(c.Buffered()) }

func openGzip(r io.ReaderAt, off, size int64) (*stream, error) {
	c := newCounter(r, off, size)
	z, err := gzip.NewReader(c.Reader) // has a fast path for exactly this type
	if err != nil {
		return nil, codecError(err)
	}
	z.Multistream(false)
	return &stream{Reader: z, used: c.used, close: nop}, nil
}

func openLZMA(r io.ReaderAt, off, size int64) (*stream, error) {
	c := newCounter(r, off, size)
	z, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(c.Reader)
	if err != nil {
		return nil, codecError(err)
	}
	return &stream{Reader: z, used: c.used, close: nop}, nil
}

func openXZ(r io.ReaderAt, off, size int64) (*stream, error) {
	n, err := xzLength(r, off, size)
	if err != nil {
		return nil, err
	}
	src := bufio.NewReaderSize(io.NewSectionReader(r, off, n), 64<<10)
	z, err := xz.ReaderConfig{SingleStream: true, DictCap: lzma.MinDictCap}.NewReader(src)
	if err != nil {
		return nil, codecError(err)
	}
	return &stream{Reader: z, used: func() int64 { return n }, close: nop}, nil
}

func openZstd(r io.ReaderAt, off, size int64) (*stream, error) {
	n, err := zstdLength(r, off, size)
	if err != nil {
		return nil, err
	}
	// One goroutine is the faster way here: the reader mostly skips.
	z, err := zstd.NewReader(io.NewSectionReader(r, off, n),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, codecError(err)
	}
	return &stream{Reader: z, used: func() int64 { return n }, close: z.Close}, nil
}

// codecError makes what a decompressor says about its input a sentinel, and
// lets errors of the device and our own pass.
func codecError(err error) error {
	var own *ondisk.Error
	switch {
	case err == nil || err == io.EOF || errors.As(err, &own):
		return err
	case errors.Is(err, ondisk.ErrCorrupt), errors.Is(err, ondisk.ErrTooBig), errors.Is(err, ondisk.ErrUnsupported):
		return err
	}
	var dev *deviceError
	if errors.As(err, &dev) {
		return err
	}
	return ondisk.Because(ondisk.ErrCorrupt, "%v", err)
}

// device marks failures of the file under the decompressors, which would
// otherwise look like damage.
type device struct{ inner io.ReaderAt }

type deviceError struct{ err error }

func (e *deviceError) Error() string { return e.err.Error() }
func (e *deviceError) Unwrap() error { return e.err }

func (d device) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.inner.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = &deviceError{err}
	}
	return n, err
}

// bounded fails with ErrTooBig where a stream gives more than it may.
type bounded struct {
	inner io.Reader
	left  *int64
}

func (b bounded) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	*b.left -= int64(n)
	if *b.left < 0 {
		return 0, ondisk.Because(ondisk.ErrTooBig, "unpacks to more than the limit")
	}
	return n, codecError(err)
}
