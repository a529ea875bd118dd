package signature

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// kind is one magic number and how to read what stands around it.
type kind struct {
	name  string
	off   int64 // of the structure
	len   int64
	magic string
	at    int // of magic in the structure
	// read fills in what the structure tells; false rejects it. nil tells nothing.
	read func(p []byte, id *filesys.Ident) bool
}

// Container recognises what holds volumes instead of files.
func Container(dev blockdev.Device) (filesys.Ident, ondisk.Match, error) {
	w := window{dev: dev}
	id, match, err := w.first(containers)
	if match != ondisk.None || err != nil {
		return id, match, err
	}
	return w.raidAtEnd()
}

// Foreign recognises filesystems by name. An error means that dev cannot be read.
func Foreign(dev blockdev.Device) (filesys.Ident, ondisk.Match, error) {
	w := window{dev: dev}
	return w.first(foreigners)
}

// window reads a device, its first page once.
type window struct {
	dev  blockdev.Device
	head []byte
}

const headLen = 8192

// at returns n bytes, or nil where the device has not that many.
func (w *window) at(off, n int64) ([]byte, error) {
	if !ondisk.InRange(off, n, w.dev.Size()) {
		return nil, nil
	}
	if off+n > headLen {
		return ondisk.Bytes(w.dev, off, n)
	}
	if w.head == nil {
		p, err := ondisk.Bytes(w.dev, 0, min(headLen, w.dev.Size()))
		if err != nil {
			return nil, err
		}
		w.head = p
	}
	return w.head[off : off+n], nil
}

func (w *window) first(kinds []kind) (filesys.Ident, ondisk.Match, error) {
	for _, k := range kinds {
		p, err := w.at(k.off, k.len)
		if err != nil {
			return filesys.Ident{}, ondisk.None, err
		}
		if p == nil || !bytes.HasPrefix(p[k.at:], []byte(k.magic)) {
			continue
		}
		id := filesys.Ident{Type: k.name, Size: w.dev.Size()}
		if k.read == nil || k.read(p, &id) {
			return id, ondisk.Sure, nil
		}
	}
	return filesys.Ident{}, ondisk.None, nil
}

// dashed is the usual form of 16 bytes of UUID.
func dashed(p []byte) string {
	if ondisk.IsZero(p) {
		return ""
	}
	h := hex.EncodeToString(p)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// text is a string that NULs or blanks fill up.
func text(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return strings.TrimRight(string(p), " ")
}
