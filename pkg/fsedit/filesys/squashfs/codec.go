package squashfs

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// codec unpacks one block to at most limit bytes. It is safe for concurrent use.
type codec func(src []byte, limit int) ([]byte, error)

// codecs by the number in the superblock.
var codecs = map[uint16]struct {
	name string
	make func() (codec, error) // nil: refused
}{
	1: {"gzip", newZlib}, 2: {"lzma", nil}, 3: {"lzo", nil}, 4: {"xz", newXZ}, 5: {"lz4", newLZ4}, 6: {"zstd", newZstd},
}

func newCodec(id uint16) (name string, c codec, err error) {
	k, ok := codecs[id]
	switch {
	case !ok:
		return "", nil, superAt().In("compression").Unsupported("method %d", id)
	case k.make == nil:
		return "", nil, superAt().In("compression").Unsupported("%s", k.name)
	}
	c, err = k.make()
	return k.name, c, err
}

func newZlib() (codec, error) {
	var pool sync.Pool
	return func(src []byte, limit int) ([]byte, error) {
		z, _ := pool.Get().(io.ReadCloser)
		var err error
		if z == nil {
			z, err = zlib.NewReader(bytes.NewReader(src))
		} else {
			err = z.(zlib.Resetter).Reset(bytes.NewReader(src), nil)
		}
		if err != nil {
			return nil, err
		}
		defer pool.Put(z)
		return drain(z, limit)
	}, nil
}

// drain reads all of a stream, which must be at most limit bytes.
func drain(r io.Reader, limit int) ([]byte, error) {
	p := make([]byte, limit)
	n, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return p[:n], nil
	}
	if err != nil {
		return nil, err
	}
	var more [1]byte
	if n, _ := r.Read(more[:]); n > 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "more than %d bytes", limit)
	}
	return p, nil
}

func newZstd() (codec, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, err
	}
	return func(src []byte, limit int) ([]byte, error) {
		return z.DecodeAll(src, make([]byte, 0, limit))
	}, nil
}

func newLZ4() (codec, error) {
	return func(src []byte, limit int) ([]byte, error) {
		p := make([]byte, limit)
		n, err := lz4.UncompressBlock(src, p)
		if err != nil {
			return nil, err
		}
		return p[:n], nil
	}, nil
}

// newXZ reads the LZMA2 data of the first block of an xz stream ("The .xz File
// Format" 1.2.1, 3.1). The history is ours to choose: no block needs more than it
// unpacks to, whatever its header asks for.
func newXZ() (codec, error) {
	return func(src []byte, limit int) ([]byte, error) {
		const streamHeader, lzma2 = 12, 0x21
		if len(src) < streamHeader+4 || string(src[:6]) != "\xfd7zXZ\x00" {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "no xz stream")
		}
		block := src[streamHeader:]
		size := (int(block[0]) + 1) * 4
		if block[0] == 0 || size > len(block) {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "xz stream without a block")
		}
		flags, fields := block[1], block[2:size]
		if flags&3 != 0 {
			return nil, ondisk.Because(ondisk.ErrUnsupported, "xz with a filter")
		}
		for _, present := range []byte{0x40, 0x80} { // lengths, packed and unpacked
			if flags&present != 0 {
				for len(fields) > 0 && fields[0]&0x80 != 0 {
					fields = fields[1:]
				}
				fields = fields[min(1, len(fields)):]
			}
		}
		if len(fields) == 0 || fields[0] != lzma2 {
			return nil, ondisk.Because(ondisk.ErrUnsupported, "xz with another filter than LZMA2")
		}
		z, err := lzma.Reader2Config{DictCap: max(limit, lzma.MinDictCap)}.NewReader2(bytes.NewReader(block[size:]))
		if err != nil {
			return nil, err
		}
		return drain(z, limit)
	}, nil
}
