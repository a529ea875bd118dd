package initramfs

import (
	"compress/bzip2"
	"io"
)

// openBzip2 reads one bzip2 stream. The library wants to go on to a second
// stream and fails on anything else, so the source hides what follows: it
// watches for the end-of-stream magic, which stands at any bit, and ends with
// the byte that completes the checksum behind it.
func openBzip2(r io.ReaderAt, off, size int64) *stream {
	src := &bzip2Source{in: newCounter(r, off, size)}
	return &stream{Reader: bzip2.NewReader(src), used: src.in.used, close: nop}
}

const (
	bzip2End     = 0x177245385090 // 48 bits, the digits of sqrt(pi)
	bzip2EndBits = 48
	bzip2CRCBits = 32
)

type bzip2Source struct {
	in    *counter
	last  uint64 // the last 64 bits
	after int    // bytes still to give once the magic was seen; 0 before
	ended bool
}

func (s *bzip2Source) ReadByte() (byte, error) {
	if s.ended {
		return 0, io.EOF
	}
	b, err := s.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if s.after > 0 {
		s.after--
		s.ended = s.after == 0
		return b, nil
	}
	s.last = s.last<<8 | uint64(b)
	for shift := range 8 {
		if s.last>>shift&(1<<bzip2EndBits-1) == bzip2End {
			s.after = (bzip2CRCBits - shift + 7) / 8
		}
	}
	return b, nil
}

// Read is there for the interface; the library reads single bytes.
func (s *bzip2Source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}
