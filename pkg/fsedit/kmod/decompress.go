package kmod

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Decompress unpacks a module file, whatever its name says, and returns one
// that is not packed as it is. A signature lies behind the unpacked module and
// stays valid.
func Decompress(data []byte, limits ondisk.Limits) ([]byte, error) {
	at := ondisk.At("kmod", "module file", ondisk.NoOffset)
	limit := limits.OrDefault().File
	r, err := opener(data)
	if err != nil {
		return nil, at.Corrupt("%v", err)
	}
	if r == nil {
		return data, nil
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, at.Corrupt("%v", err)
	case int64(len(out)) > limit:
		return nil, at.TooBig("unpacks to more than %d bytes", limit)
	}
	return out, nil
}

// opener is nil for data of no known compression.
func opener(data []byte) (io.ReadCloser, error) {
	src := bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		return gzip.NewReader(src)
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")):
		if err := checkXZ(data); err != nil {
			return nil, err
		}
		z, err := xz.ReaderConfig{DictCap: 1 << 12}.NewReader(src)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	}
	return nil, nil
}

// checkXZ refuses a dictionary, which is allocated at once, of more than 64
// MiB: in the first block header, the properties of the last filter, LZMA2,
// are one byte before the padding (The .xz File Format 1.2.1, section 3.1).
func checkXZ(data []byte) error {
	const header, maxDictionary = 12, 28 // 2 << (28/2 + 11) is 64 MiB
	if len(data) <= header || data[header] == 0 {
		return nil // no block
	}
	end := header + (int(data[header])+1)*4 - 4
	if end > len(data) {
		return io.ErrUnexpectedEOF
	}
	at := bytes.LastIndex(data[header:end], []byte{0x21, 1})
	if at >= 0 && header+at+2 < end && data[header+at+2] > maxDictionary {
		return ondisk.Because(ondisk.ErrTooBig, "dictionary of more than 64 MiB")
	}
	return nil
}
