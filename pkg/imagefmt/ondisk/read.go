package ondisk

import (
	"encoding/binary"
	"errors"
	"io"
)

// readStep is how far a buffer grows before the next bytes have proven to exist.
const readStep = 8 << 20

// Bytes reads exactly n bytes at off. A short read is [ErrCorrupt] ("ends
// early"); other failures of the reader pass through unchanged. Memory grows
// with the bytes that really exist, not with n.
func Bytes(r io.ReaderAt, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 {
		return nil, Because(ErrCorrupt, "negative offset or length")
	}
	var p []byte
	for int64(len(p)) < n {
		at := len(p)
		p = append(p, make([]byte, min(n-int64(at), readStep))...)
		if err := Full(r, p[at:], off+int64(at)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Full fills p from off, or fails: with [ErrCorrupt] where the device ends, with
// the reader's own error otherwise.
func Full(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Because(ErrCorrupt, "ends early: %d of %d bytes at %#x", n, len(p), off)
	}
	return err
}

// Read decodes one structure of fixed size at off. T is a struct whose fields
// stand in disk order, exported or blank, as encoding/binary wants them. For
// headers that are read once; hot records have decoders of their own.
func Read[T any](r io.ReaderAt, off int64, order binary.ByteOrder) (T, error) {
	var v T
	buf := make([]byte, binary.Size(v))
	if err := Full(r, buf, off); err != nil {
		return v, err
	}
	if _, err := binary.Decode(buf, order, &v); err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}
