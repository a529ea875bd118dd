package initramfs

import (
	"encoding/binary"
	"io"

	"github.com/pierrec/lz4/v4"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// The legacy frame: the magic, then blocks of a little-endian length and LZ4
// data of at most 8 MiB when unpacked. There is no mark of the end.
const (
	lz4Magic     = "\x02\x21\x4c\x18"
	lz4BlockSize = 8 << 20
)

// lz4Reader unpacks legacy frames; several in a row are one stream, as for the
// kernel, which skips a magic where it expects a block.
type lz4Reader struct {
	src    io.ReaderAt
	off    int64 // where the stream begins
	pos    int64 // behind the last block
	size   int64
	frames []int64 // offsets of the magics after the first
	packed []byte
	plain  []byte
	rest   []byte
}

func (z *lz4Reader) Read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if err := z.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

func (z *lz4Reader) block() error {
	if z.pos == z.off {
		z.pos += int64(len(lz4Magic))
		z.plain = make([]byte, lz4BlockSize)
		z.packed = make([]byte, lz4.CompressBlockBound(lz4BlockSize))
	}
	if z.size-z.pos < 4 {
		return io.EOF
	}
	var length [4]byte
	if err := ondisk.Full(z.src, length[:], z.pos); err != nil {
		return err
	}
	if string(length[:]) == lz4Magic {
		z.frames = append(z.frames, z.pos)
		z.pos += 4
		return nil
	}
	n := int64(binary.LittleEndian.Uint32(length[:]))
	if n == 0 || n > int64(len(z.packed)) {
		return io.EOF // what follows is no block of ours
	}
	if n > z.size-z.pos-4 {
		return ondisk.Because(ondisk.ErrCorrupt, "lz4: block of %d bytes at %#x ends behind the file", n, z.pos)
	}
	if err := ondisk.Full(z.src, z.packed[:n], z.pos+4); err != nil {
		return err
	}
	k, err := lz4.UncompressBlock(z.packed[:n], z.plain)
	if err != nil {
		return ondisk.Because(ondisk.ErrCorrupt, "lz4: block at %#x: %v", z.pos, err)
	}
	z.pos += 4 + n
	z.rest = z.plain[:k]
	return nil
}

// packLZ4 makes one legacy frame. The frame has no stored blocks: data that
// does not shrink grows a little.
func packLZ4(plain []byte) ([]byte, error) {
	out := []byte(lz4Magic)
	for len(plain) > 0 {
		n := min(len(plain), lz4BlockSize)
		block := make([]byte, lz4.CompressBlockBound(n))
		k, err := lz4.CompressBlock(plain[:n], block, nil)
		if err != nil {
			return nil, ondisk.At("initramfs", "lz4 block", ondisk.NoOffset).Wrap(err)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(k))
		out = append(out, block[:k]...)
		plain = plain[n:]
	}
	return out, nil
}
