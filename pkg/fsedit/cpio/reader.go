package cpio

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// readAhead is small enough to make skipping worthwhile and large enough to
// keep a decompressor busy.
const readAhead = 128 << 10

// Reader reads one stream of archives. It is not for concurrent use.
type Reader struct {
	src     io.Reader
	seeker  io.Seeker // nil when contents must be read to be skipped
	left    int64     // bytes of a seekable source not yet given to br
	buf     *bufio.Reader
	pos     int64
	data    int64 // bytes of the current entry not yet read
	pad     int64 // NULs behind it
	start   int64 // where the current entry's data begins
	check   uint32
	header  Header
	started bool
	ended   bool
	trailed bool
}

// NewReader reads from r, which stands at the first byte of an archive. When r
// can seek, contents are skipped without being read.
func NewReader(r io.Reader) *Reader {
	c := &Reader{src: r}
	if s, ok := r.(io.Seeker); ok {
		c.sizeOf(s)
	}
	c.buf = bufio.NewReaderSize(counted{c}, readAhead)
	return c
}

func (c *Reader) sizeOf(s io.Seeker) {
	here, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return
	}
	end, err := s.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	if _, err := s.Seek(here, io.SeekStart); err != nil {
		return
	}
	c.seeker, c.left = s, end-here
}

// counted is the source behind the buffer; it keeps account of a seekable one.
type counted struct{ c *Reader }

func (r counted) Read(p []byte) (int, error) {
	n, err := r.c.src.Read(p)
	r.c.left -= int64(n)
	return n, err
}

// Offset is the position in the stream, from where the reader began: after
// [Reader.Next], the first byte of the entry's data.
func (c *Reader) Offset() int64 { return c.pos }

// Trailed reports, after io.EOF, whether the archive ended with its trailer
// rather than with the stream.
func (c *Reader) Trailed() bool { return c.trailed }

// Next goes to the next entry; the header is valid until the following call. It
// is io.EOF at the end of the archive.
func (c *Reader) Next() (*Header, error) {
	if c.ended {
		return nil, io.EOF
	}
	if err := c.skip(c.data + c.pad); err != nil {
		return nil, c.at().Wrap(err)
	}
	c.data, c.pad = 0, 0
	if _, err := c.buf.Peek(1); err == io.EOF && c.started {
		c.ended = true
		return nil, io.EOF
	}
	at := c.at()
	if err := c.readHeader(); err != nil {
		return nil, at.Wrap(err)
	}
	c.started, c.start, c.check = true, c.pos, 0
	c.data, c.pad = int64(c.header.Size), pad4(int64(c.header.Size))
	if c.header.Name == trailer {
		return nil, c.finish(at)
	}
	return &c.header, nil
}

func (c *Reader) finish(at ondisk.Place) error {
	if err := c.skip(c.data + c.pad); err != nil {
		return at.Wrap(err)
	}
	c.data, c.pad = 0, 0
	c.ended, c.trailed = true, true
	return io.EOF
}

func (c *Reader) readHeader() error {
	var raw [headerSize]byte
	if err := c.full(raw[:]); err != nil {
		return err
	}
	n, err := c.header.decode(&raw)
	if err != nil {
		return err
	}
	name := make([]byte, n+int(pad4(int64(headerSize+n))))
	if err := c.full(name); err != nil {
		return err
	}
	name, _, _ = bytes.Cut(name[:n], []byte{0})
	c.header.Name = string(name)
	return nil
}

// Read reads the data of the current entry.
func (c *Reader) Read(p []byte) (int, error) {
	if c.data == 0 {
		return 0, io.EOF
	}
	n, err := c.buf.Read(p[:min(int64(len(p)), c.data)])
	c.pos += int64(n)
	c.data -= int64(n)
	if c.header.Checked && c.header.IsRegular() { // GNU cpio sums no links
		for _, b := range p[:n] {
			c.check += uint32(b)
		}
		if c.data == 0 && c.whole() && c.check != c.header.Check {
			return n, c.at().In("%s", c.header.Name).Corrupt("checksum %#x, want %#x", c.check, c.header.Check)
		}
	}
	if err != nil {
		return n, c.at().Wrap(early(err))
	}
	return n, nil
}

// whole reports whether all data so far went through Read.
func (c *Reader) whole() bool { return c.pos-c.start == int64(c.header.Size) }

// NextArchive skips NULs to the archive that follows in the same stream, and
// makes Next start over. At the end of the stream it is io.EOF; anything else
// than an archive is [ondisk.ErrCorrupt].
func (c *Reader) NextArchive() error {
	for {
		p, err := c.buf.Peek(1)
		if err != nil {
			return err
		}
		if p[0] != 0 {
			break
		}
		if err := c.skip(1); err != nil {
			return err
		}
	}
	if p, _ := c.buf.Peek(len(magicNew)); !IsMagic(p) {
		return c.at().Corrupt("neither NULs nor an archive after an archive")
	}
	c.started, c.ended, c.trailed = false, false, false
	return nil
}

// skip passes n bytes, by seeking when that saves reading.
func (c *Reader) skip(n int64) error {
	if ahead := n - int64(c.buf.Buffered()); c.seeker != nil && ahead > readAhead {
		if ahead > c.left {
			return early(io.EOF)
		}
		if _, err := c.seeker.Seek(ahead, io.SeekCurrent); err != nil {
			return err
		}
		c.left -= ahead
		c.pos += n
		c.buf.Reset(counted{c})
		return nil
	}
	for n > 0 {
		k, err := c.buf.Discard(int(min(n, 1<<30)))
		c.pos += int64(k)
		n -= int64(k)
		if err != nil {
			return early(err)
		}
	}
	return nil
}

func (c *Reader) full(p []byte) error {
	n, err := io.ReadFull(c.buf, p)
	c.pos += int64(n)
	return early(err)
}

func (c *Reader) at() ondisk.Place { return ondisk.At("cpio", "entry", c.pos) }

// early calls the end of the stream what it is inside an archive: damage.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ondisk.Because(ondisk.ErrCorrupt, "archive ends early")
	}
	return err
}
