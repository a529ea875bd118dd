package qcow2

import (
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// deflateLevel gives what zlib gives at its default, in less than half the time.
const deflateLevel = 5

// compress packs plain into dst's memory from its start. The result is nil when
// it would not be shorter than plain.
func compress(method uint8, dst, plain []byte) ([]byte, error) {
	if method == compressionZstd {
		return zstdPack(dst, plain)
	}
	return deflate(dst, plain)
}

// deflater is an encoder with the slice it writes to, kept for the next cluster.
type deflater struct {
	out slice
	enc *flate.Writer
}

// slice takes bytes up to a limit and drops the rest: a cluster that does not
// shrink is stored plain anyway.
type slice struct {
	p     []byte
	limit int
	over  bool
}

func (s *slice) Write(p []byte) (int, error) {
	if s.over = s.over || len(s.p)+len(p) > s.limit; !s.over {
		s.p = append(s.p, p...)
	}
	return len(p), nil
}

var deflaters = sync.Pool{New: func() any {
	d := &deflater{}
	enc, err := flate.NewWriter(&d.out, deflateLevel)
	if err != nil {
		return err
	}
	d.enc = enc
	return d
}}

func deflate(dst, plain []byte) ([]byte, error) {
	d, ok := deflaters.Get().(*deflater)
	if !ok {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "deflate encoder cannot be made")
	}
	defer deflaters.Put(d)
	d.out = slice{p: dst[:0], limit: len(plain) - 1}
	d.enc.Reset(&d.out)
	if _, err := d.enc.Write(plain); err != nil {
		return nil, err
	}
	if err := d.enc.Close(); err != nil {
		return nil, err
	}
	packed, over := d.out.p, d.out.over
	d.out.p = nil
	if over {
		return nil, nil
	}
	return packed, nil
}

var zstders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return err
	}
	return e
}}

func zstdPack(dst, plain []byte) ([]byte, error) {
	e, ok := zstders.Get().(*zstd.Encoder)
	if !ok {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "zstd encoder cannot be made")
	}
	defer zstders.Put(e)
	packed := e.EncodeAll(plain, dst[:0])
	if len(packed) >= len(plain) {
		return nil, nil
	}
	return packed, nil
}
