// Package wrapper unpacks the compression that people put around whole images:
// disk.img.gz, backup.vmdk.xz, export.xva.zst. What is inside is found when it
// is unpacked, and not before.
package wrapper

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// HeadSize is how many bytes of a file [Detect] wants to see.
const HeadSize = 8

// maxWindow bounds the memory, in bytes, that a packed stream may ask for as its
// window. zstd --long and xz -9 stay below.
const maxWindow = 128 << 20

// Wrapper is one method of compression.
type Wrapper struct {
	name       string // as the user says it, and the extension without its dot
	magic      []byte
	extensions []string
	open       func(io.Reader) (io.ReadCloser, error)
}

// wrappers by their first bytes: RFC 1952, RFC 8878 3.1.1, "The .xz File Format"
// 2.1.1.1, and bzip2's "BZh" with a block size.
var wrappers = []*Wrapper{
	{"gzip", []byte{0x1f, 0x8b, 8}, []string{".gz"}, openGzip},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, []string{".zst"}, openZstd},
	{"xz", []byte{0xfd, '7', 'z', 'X', 'Z', 0}, []string{".xz"}, openXz},
	{"bzip2", []byte("BZh"), []string{".bz2"}, openBzip2},
}

// Detect is the wrapper that a file with this head has, or nil.
func Detect(head []byte) *Wrapper {
	for _, w := range wrappers {
		if bytes.HasPrefix(head, w.magic) {
			return w
		}
	}
	return nil
}

// Trim cuts a wrapper's extension off a file name: disk.img.gz is disk.img.
func Trim(name string) string {
	ext := strings.ToLower(filepath.Ext(name))
	for _, w := range wrappers {
		for _, e := range w.extensions {
			if e == ext {
				return name[:len(name)-len(ext)]
			}
		}
	}
	return name
}

func (w *Wrapper) String() string { return w.name }

// Reader unpacks r from its beginning, several members one after the other
// included. Errors about the stream wrap ondisk.ErrCorrupt; those of r do not.
// Memory is bounded, the length of what comes out is not.
func (w *Wrapper) Reader(r io.Reader) (io.ReadCloser, error) {
	tracked := &tracked{inner: r}
	inner, err := w.open(tracked)
	if err != nil {
		return nil, w.explain(tracked, err)
	}
	return &unpacked{wrapper: w, source: tracked, inner: inner}, nil
}

func (w *Wrapper) explain(src *tracked, err error) error {
	if src.err != nil {
		return src.err // reading failed, not the format
	}
	if errors.Is(err, ondisk.ErrTooBig) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return ondisk.At(w.name, "stream", ondisk.NoOffset).TooBig("%v", err)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ondisk.At(w.name, "stream", src.read).Corrupt("the file ends in the middle")
	}
	return ondisk.At(w.name, "stream", src.read).Corrupt("%v", err)
}

// unpacked gives errors the name of the wrapper.
type unpacked struct {
	wrapper *Wrapper
	source  *tracked
	inner   io.ReadCloser
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.inner.Read(p)
	if err != nil && err != io.EOF {
		err = u.wrapper.explain(u.source, err)
	}
	return n, err
}

func (u *unpacked) Close() error { return u.inner.Close() }

// tracked counts what was read, and keeps the error of reading.
type tracked struct {
	inner io.Reader
	read  int64
	err   error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.inner.Read(p)
	t.read += int64(n)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

func openGzip(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

func openZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func openXz(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	if err := checkDictionary(b); err != nil {
		return nil, err
	}
	x, err := xz.NewReader(b)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(x), nil
}

// checkDictionary refuses a dictionary over the limit, which the library would
// allocate. It looks at the first block ("The .xz File Format" 3.1 and 5.3.1);
// all blocks of a file that xz wrote have the same.
func checkDictionary(b *bufio.Reader) error {
	const streamHeader, lzma2 = 12, 0x21
	head, err := b.Peek(streamHeader + 64)
	if len(head) < streamHeader+8 {
		if err == io.EOF {
			return nil // the library says what is missing
		}
		return err
	}
	block := head[streamHeader:]
	filter := slices.Index(block[2:], lzma2) // after the sizes, which may be left out
	if filter < 0 || filter+4 >= len(block) || block[filter+3] != 1 {
		return nil
	}
	dict := block[filter+4]
	size := (2 | uint64(dict)&1) << (dict/2 + 11)
	if dict > 40 || size > maxWindow {
		return ondisk.Because(ondisk.ErrTooBig, "a dictionary of %d bytes; at most %d are allowed", size, maxWindow)
	}
	return nil
}

func openBzip2(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }
