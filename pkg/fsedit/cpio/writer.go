package cpio

import (
	"io"
	"math"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Writer writes one archive. It buffers nothing: give it a buffer.
type Writer struct {
	w   io.Writer
	ino uint32
	err error
}

func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Add writes one entry with its data, a symbolic link's target included. Inode
// numbers count from 1 and every entry has one link, so that no two entries are
// taken for hard links; Size is that of data. The other fields are h's.
func (w *Writer) Add(h Header, data []byte) error {
	if w.err != nil {
		return w.err
	}
	if err := checkName(h.Name); err != nil {
		return err
	}
	if int64(len(data)) > math.MaxUint32 {
		return ondisk.At("cpio", "entry", ondisk.NoOffset).In("%s", h.Name).TooBig("%d bytes of data; an archive's file has less than 4 GiB", len(data))
	}
	w.ino++
	h.Ino, h.Nlink, h.Size = w.ino, 1, uint32(len(data))
	w.write(h.encode(nil))
	w.write(data)
	w.write(make([]byte, pad4(int64(len(data)))))
	return w.err
}

// Close writes the trailer. The archive's length is then a multiple of four.
func (w *Writer) Close() error {
	w.write((&Header{Name: trailer, Nlink: 1}).encode(nil))
	return w.err
}

func (w *Writer) write(p []byte) {
	if w.err == nil && len(p) > 0 {
		_, w.err = w.w.Write(p)
	}
}

func checkName(name string) error {
	at := ondisk.At("cpio", "entry", ondisk.NoOffset).In("name %q", name)
	switch {
	case name == "" || name == trailer || strings.IndexByte(name, 0) >= 0:
		return at.Unsupported("a name that an archive cannot hold")
	case len(name)+1 > MaxName:
		return at.TooBig("%d bytes; at most %d", len(name), MaxName-1)
	}
	return nil
}
