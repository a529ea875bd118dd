package journal

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// unpack unpacks the payload of a data object to at most limit bytes.
func unpack(p []byte, method uint8, limit int64) (out []byte, err error) {
	switch method {
	case packedZSTD:
		out, err = unpackZSTD(p, limit)
	case packedLZ4:
		out, err = unpackLZ4(p, limit)
	case packedXZ:
		out, err = unpackXZ(p, limit)
	default:
		return nil, ondisk.Because(ondisk.ErrUnsupported, "compression %#x", method)
	}
	if err == nil && int64(len(out)) > limit {
		err = ondisk.Because(ondisk.ErrTooBig, "it unpacks to more than %d bytes", limit)
	}
	return out, err
}

func unpackZSTD(p []byte, limit int64) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(p), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "zstd: %v", err)
	}
	defer z.Close()
	return readLimited(z, limit)
}

// readLimited reads one byte more than limit at most.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%v", err)
	}
	return out, nil
}

// unpackLZ4 unpacks a block behind its unpacked size.
func unpackLZ4(p []byte, limit int64) ([]byte, error) {
	const maxRatio = 255 // of the format
	if len(p) < 8 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "lz4: %d bytes", len(p))
	}
	size := binary.LittleEndian.Uint64(p)
	p = p[8:]
	if size > uint64(limit) {
		return nil, ondisk.Because(ondisk.ErrTooBig, "it unpacks to more than %d bytes", limit)
	}
	if size > uint64(len(p)+1)*maxRatio {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "lz4: %d bytes cannot become %d", len(p), size)
	}
	out := make([]byte, size)
	n, err := lz4.UncompressBlock(p, out)
	if err != nil || uint64(n) != size {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "lz4: the block is damaged")
	}
	return out, nil
}

// unpackXZ unpacks an .xz file. Its dictionary, which the library allocates, is a
// MiB in what journald writes; The .xz File Format 3.1 and 5.3.1 say where its size is.
func unpackXZ(p []byte, limit int64) ([]byte, error) {
	const streamHeader, lzma2, maxDictionary = 12, 0x21, 28 // 64 MiB
	if len(p) <= streamHeader+1 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "xz: %d bytes", len(p))
	}
	end := streamHeader + (int(p[streamHeader])+1)*4 - 4
	if end > len(p) || p[streamHeader] == 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "xz: no block")
	}
	at := bytes.LastIndex(p[streamHeader:end], []byte{lzma2, 1})
	if at >= 0 && streamHeader+at+2 < end && p[streamHeader+at+2] > maxDictionary {
		return nil, ondisk.Because(ondisk.ErrTooBig, "xz: a dictionary of more than 64 MiB")
	}
	z, err := xz.ReaderConfig{DictCap: 1 << 12, SingleStream: true}.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "xz: %v", err)
	}
	return readLimited(z, limit)
}
