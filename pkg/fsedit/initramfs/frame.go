package initramfs

import (
	"encoding/binary"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// walker follows the headers of a compressed frame without decompressing it.
// The first failure sticks.
type walker struct {
	r    io.ReaderAt
	pos  int64
	size int64
	err  error
	buf  [8]byte
}

func (w *walker) bytes(n int) []byte {
	p := w.buf[:n]
	if w.err == nil && !ondisk.InRange(w.pos, int64(n), w.size) {
		w.err = ondisk.Because(ondisk.ErrCorrupt, "compressed data ends early")
	}
	if w.err == nil {
		w.err = ondisk.Full(w.r, p, w.pos)
	}
	if w.err != nil {
		clear(p)
	}
	w.pos += int64(n)
	return p
}

func (w *walker) u8() byte { return w.bytes(1)[0] }

// skip passes n bytes; n comes from a field of at most 32 bits.
func (w *walker) skip(n int64) {
	w.pos += n
	if w.pos > w.size && w.err == nil {
		w.err = ondisk.Because(ondisk.ErrCorrupt, "compressed data ends early")
	}
}

// zstdLength is the length of the zstd frame at off (RFC 8878, section 3.1.1).
func zstdLength(r io.ReaderAt, off, size int64) (int64, error) {
	w := &walker{r: r, pos: off + 4, size: size}
	descriptor := w.u8()
	single := descriptor>>5&1 == 1
	if !single {
		w.skip(1) // window descriptor
	}
	w.skip([4]int64{0, 1, 2, 4}[descriptor&3]) // dictionary
	if fcs := descriptor >> 6; fcs > 0 || single {
		w.skip(1 << fcs) // content size
	}
	for last := false; !last && w.err == nil; {
		p := w.bytes(3)
		h := int64(p[0]) | int64(p[1])<<8 | int64(p[2])<<16
		last = h&1 == 1
		switch n := h >> 3; h >> 1 & 3 {
		case 0, 2: // raw, compressed
			w.skip(n)
		case 1: // one byte, repeated
			w.skip(1)
		default:
			return 0, ondisk.Because(ondisk.ErrCorrupt, "zstd: reserved block type")
		}
	}
	if descriptor>>2&1 == 1 {
		w.skip(4) // checksum
	}
	return w.pos - off, w.err
}

// xzLength is the length of the xz stream at off: header, blocks, index and
// footer (The .xz File Format 1.2.1, section 2).
func xzLength(r io.ReaderAt, off, size int64) (int64, error) {
	const headerSize, footerSize = 12, 12
	w := &walker{r: r, pos: off + 7, size: size}
	check := xzCheckSize(w.u8())
	w.pos = off + headerSize
	for w.err == nil {
		start := w.pos
		n := w.u8()
		if n == 0 { // index indicator
			w.xzIndex(start)
			break
		}
		w.xzFilters()
		w.pos = start + (int64(n)+1)*4
		w.lzma2()
		w.skip(-(w.pos - start) & 3)
		w.skip(check)
	}
	w.skip(footerSize)
	return w.pos - off, w.err
}

// xzFilters reads a block header behind its size and refuses what the
// decompressor cannot or, of a dictionary, should not do.
func (w *walker) xzFilters() {
	const lzma2ID = 0x21
	flags := w.u8()
	if flags&0x40 != 0 {
		w.varint() // compressed size
	}
	if flags&0x80 != 0 {
		w.varint() // uncompressed size
	}
	id, n := w.varint(), w.varint()
	switch {
	case w.err != nil:
	case flags&3 != 0 || id != lzma2ID || n != 1:
		w.err = ondisk.Because(ondisk.ErrUnsupported, "xz: filter %#x; only LZMA2 alone can be read", id)
	default:
		bits := w.u8()
		if bits > 40 || int64(2|bits&1)<<(bits/2+11) > maxWindow {
			w.err = ondisk.Because(ondisk.ErrTooBig, "xz: dictionary of more than %d bytes", maxWindow)
		}
	}
}

// xzCheckSize is the length of a block's checksum: none, then three each of 4,
// 8, 16, 32 and 64 bytes.
func xzCheckSize(flags byte) int64 {
	id := flags & 15
	if id == 0 {
		return 0
	}
	return 4 << ((id - 1) / 3)
}

// lzma2 passes the chunks of one block.
func (w *walker) lzma2() {
	for w.err == nil {
		control := w.u8()
		switch {
		case control == 0:
			return
		case control >= 0x80:
			p := w.bytes(4)
			n := int64(binary.BigEndian.Uint16(p[2:])) + 1
			if control >= 0xC0 {
				n++ // new properties
			}
			w.skip(n)
		case control <= 2:
			w.skip(int64(binary.BigEndian.Uint16(w.bytes(2))) + 1)
		default:
			w.err = ondisk.Because(ondisk.ErrUnsupported, "xz: a filter other than LZMA2, or damage")
		}
	}
}

func (w *walker) xzIndex(start int64) {
	records := w.varint()
	for ; records > 0 && w.err == nil; records-- {
		w.varint()
		w.varint()
	}
	w.skip(-(w.pos - start) & 3)
	w.skip(4) // CRC32
}

func (w *walker) varint() (v uint64) {
	for shift := 0; shift < 63; shift += 7 {
		b := w.u8()
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
	if w.err == nil {
		w.err = ondisk.Because(ondisk.ErrCorrupt, "xz: integer of more than 63 bits")
	}
	return 0
}
