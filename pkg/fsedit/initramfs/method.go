package initramfs

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Method is how a segment is compressed, in the kernel's words.
type Method string

const (
	None  Method = "none"
	Gzip  Method = "gzip"
	Bzip2 Method = "bzip2"
	LZMA  Method = "lzma"
	XZ    Method = "xz"
	LZO   Method = "lzo"
	LZ4   Method = "lz4" // legacy frames, the only ones that the kernel reads
	Zstd  Method = "zstd"
)

// magics are those of lib/decompress.c in the kernel.
var magics = []struct {
	prefix string
	method Method
}{
	{"\x1f\x8b", Gzip},
	{"\x1f\x9e", Gzip},
	{"BZh", Bzip2},
	{"\x5d\x00\x00", LZMA},
	{"\xfd7zXZ\x00", XZ},
	{"\x89LZO", LZO},
	{lz4Magic, LZ4},
	{"\x28\xb5\x2f\xfd", Zstd},
}

func methodOf(head []byte) (Method, bool) {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			return m.method, true
		}
	}
	return "", false
}

// foreign names what an initial ramdisk may be instead of archives, or "".
func foreign(head []byte) string {
	const extMagicAt = 0x438
	switch {
	case bytes.HasPrefix(head, []byte("\x27\x05\x19\x56")):
		return "a U-Boot image around an initramfs"
	case bytes.HasPrefix(head, []byte("\x45\x3d\xcd\x28")), bytes.HasPrefix(head, []byte("\x28\xcd\x3d\x45")):
		return "a cramfs filesystem"
	case bytes.HasPrefix(head, []byte("-rom1fs-")):
		return "a romfs filesystem"
	case bytes.HasPrefix(head, []byte("hsqs")):
		return "a squashfs filesystem"
	case bytes.HasPrefix(head, []byte("\x04\x22\x4d\x18")):
		return "an lz4 frame of the kind that the kernel does not read"
	case len(head) >= extMagicAt+2 && binary.LittleEndian.Uint16(head[extMagicAt:]) == 0xEF53:
		return "an ext2 filesystem"
	}
	return ""
}

// notArchive explains bytes that are neither an archive nor compressed.
func notArchive(at ondisk.Place, off int64, head []byte) error {
	if what := foreign(head); what != "" {
		return at.Unsupported("%s, not an archive", what)
	}
	if bytes.HasPrefix(head, []byte("0707")) && off%4 != 0 {
		return at.Corrupt("an archive at an offset that is no multiple of 4, where the kernel does not see it")
	}
	if off == 0 {
		return at.Format("neither an archive nor a compressed one")
	}
	return at.Corrupt("neither NULs nor an archive after a segment")
}

// peekAt reads up to n bytes at off.
func peekAt(r io.ReaderAt, off, size int64, n int64) ([]byte, error) {
	p := make([]byte, min(n, size-off))
	return p, ondisk.Full(r, p, off)
}

// skipNULs is the offset of the first byte from off that is not NUL, or size.
func skipNULs(r io.ReaderAt, off, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for n := int64(64); off < size; n = int64(len(buf)) {
		p := buf[:min(n, size-off)]
		if err := ondisk.Full(r, p, off); err != nil {
			return off, err
		}
		rest := bytes.TrimLeft(p, "\x00")
		off += int64(len(p) - len(rest))
		if len(rest) > 0 {
			break
		}
	}
	return off, nil
}
