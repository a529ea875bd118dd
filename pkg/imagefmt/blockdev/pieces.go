package blockdev

import (
	"fmt"
	"io"
)

// ReadPieces is the ReadAt of a device of size bytes that consists of pieces. It
// asks read for what lies inside the device: to fill the beginning of p, the bytes
// from off, and say how many that were, at least one. What comes with an error
// does not count.
func ReadPieces(p []byte, off, size int64, read func(p []byte, off int64) (int, error)) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("blockdev: negative offset %d", off)
	}
	if off >= size {
		return 0, io.EOF
	}
	short := int64(len(p)) > size-off
	if short {
		p = p[:size-off]
	}
	for done := 0; done < len(p); {
		n, err := read(p[done:], off+int64(done))
		if err != nil {
			return done, err
		}
		done += n
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}
