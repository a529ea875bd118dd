package qcow2

import (
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Levels of both codecs go from 1, fast, to maxLevel, small. What deflateLevel
// gives is what zlib gives at its default, in less than half the time.
const (
	maxLevel     = 9
	deflateLevel = 5
)

// zstdLevel is the encoder's own name for a level. The usual one, 0, is the
// fastest: it keeps up with what QEMU's C library does at its default, for six
// percent more room, which level 4 takes back.
func zstdLevel(level int) zstd.EncoderLevel {
	switch {
	case level <= 3:
		return zstd.SpeedFastest
	case level <= 6:
		return zstd.SpeedDefault
	case level <= 8:
		return zstd.SpeedBetterCompression
	default:
		return zstd.SpeedBestCompression
	}
}

// compress packs plain into dst's memory from its start. The result is nil when
// it would not be shorter than plain.
func compress(method uint8, level int, dst, plain []byte) ([]byte, error) {
	if method == compressionZstd {
		return zstdPack(level, dst, plain)
	}
	return deflate(level, dst, plain)
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

// deflaters are encoders by level; 0 is the usual one.
var deflaters [maxLevel + 1]sync.Pool

func deflate(level int, dst, plain []byte) ([]byte, error) {
	d, err := getDeflater(level)
	if err != nil {
		return nil, err
	}
	defer deflaters[level].Put(d)
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

func getDeflater(level int) (*deflater, error) {
	if d, ok := deflaters[level].Get().(*deflater); ok {
		return d, nil
	}
	own := level
	if own == 0 {
		own = deflateLevel
	}
	d := &deflater{}
	var err error
	if d.enc, err = flate.NewWriter(&d.out, own); err != nil {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "deflate encoder: %v", err)
	}
	return d, nil
}

// zstders are encoders by level; 0 is the usual one.
var zstders [maxLevel + 1]sync.Pool

func zstdPack(level int, dst, plain []byte) ([]byte, error) {
	e, err := getZstder(level)
	if err != nil {
		return nil, err
	}
	defer zstders[level].Put(e)
	packed := e.EncodeAll(plain, dst[:0])
	if len(packed) >= len(plain) {
		return nil, nil
	}
	return packed, nil
}

func getZstder(level int) (*zstd.Encoder, error) {
	if e, ok := zstders[level].Get().(*zstd.Encoder); ok {
		return e, nil
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstdLevel(level)),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "zstd encoder: %v", err)
	}
	return e, nil
}
