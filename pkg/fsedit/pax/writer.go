package pax

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// copySize is how much of a file one read takes.
const copySize = 1 << 20

// Writer makes an archive. Nothing of it is kept in memory but one header and
// one buffer. It is for one goroutine.
type Writer struct {
	out   io.Writer
	times bool
	n     int64 // bytes written
	buf   []byte
}

// WriteOptions tune [NewWriter].
type WriteOptions struct {
	// AllTimes stores the times of last access and of last change too.
	AllTimes bool
}

// NewWriter writes an archive to out, in pieces of which many are small.
func NewWriter(out io.Writer, o WriteOptions) *Writer {
	return &Writer{out: out, times: o.AllTimes, buf: make([]byte, copySize)}
}

// Write adds a member. content is that of a regular file, of Attr.Size bytes, and
// nil for all else. What a file system calls allocated is stored with its zeros.
func (w *Writer) Write(ctx context.Context, h Header, content blockdev.Device) error {
	data, err := stored(ctx, h, content)
	if err != nil {
		return err
	}
	b, records, err := encode(h, w.times)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, s := range data {
		size += s.len
	}
	var sparseMap []byte
	if content != nil && size < h.Attr.Size {
		sparseMap = appendMap(nil, data, h.Attr.Size)
		size += int64(len(sparseMap))
		records = sparseRecords(&b, records, h)
	}
	if fits(b.Size[:], size) {
		putNumber(b.Size[:], size)
	} else {
		records = append(records, record{keySize, strconv.FormatInt(size, 10)})
	}
	if err := w.headers(h, b, records); err != nil {
		return err
	}
	if _, err := w.write(sparseMap); err != nil {
		return err
	}
	for _, s := range data {
		if err := w.copy(ctx, content, s); err != nil {
			return err
		}
	}
	return w.pad(blockSize)
}

// stored is what of a member's content the archive gets. Only a file with less
// room than bytes has holes; GNU tar decides so, too.
func stored(ctx context.Context, h Header, content blockdev.Device) ([]segment, error) {
	switch {
	case content == nil:
		return nil, nil
	case h.Attr.Blocks < h.Attr.Size/blockSize:
		return dataSegments(ctx, content, h.Attr.Size)
	}
	return []segment{{0, h.Attr.Size}}, nil
}

// sparseRecords tells that a map stands before the data. The header's own name
// is for tars that would unpack the map with it.
func sparseRecords(b *block, records []record, h Header) []record {
	records = slices.DeleteFunc(records, func(r record) bool { return r.key == keyPath })
	setName(b, sideName(h.Name, "GNUSparseFile.0"))
	return append(records,
		record{keyMajor, "1"}, record{keyMinor, "0"},
		record{keyRealName, h.Name}, record{keyRealSize, strconv.FormatInt(h.Attr.Size, 10)})
}

// Close ends the archive. The writer below stays open.
func (w *Writer) Close() error {
	if _, err := w.write(make([]byte, 2*blockSize)); err != nil {
		return err
	}
	return w.pad(recordSize)
}

func (w *Writer) write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.n += int64(n)
	return n, err
}

func (w *Writer) pad(unit int64) error {
	_, err := w.write(make([]byte, ondisk.AlignUp(w.n, unit)-w.n))
	return err
}

func (w *Writer) copy(ctx context.Context, content blockdev.Device, s segment) error {
	for s.len > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := w.buf[:min(s.len, copySize)]
		if err := ondisk.Full(content, p, s.off); err != nil {
			return err
		}
		if _, err := w.write(p); err != nil {
			return err
		}
		s.off += int64(len(p))
		s.len -= int64(len(p))
	}
	return nil
}

// headers writes the member's header, behind an extended one when it needs it.
func (w *Writer) headers(h Header, b block, records []record) error {
	if len(records) > 0 {
		var p []byte
		for _, r := range records {
			p = appendRecord(p, r.key, r.value)
		}
		x := block{Type: typePax}
		setName(&x, sideName(h.Name, "PaxHeaders"))
		putNumber(x.Mode[:], 0o644)
		putNumber(x.Size[:], int64(len(p)))
		if err := w.header(x); err != nil {
			return err
		}
		if _, err := w.write(p); err != nil {
			return err
		}
		if err := w.pad(blockSize); err != nil {
			return err
		}
	}
	return w.header(b)
}

func (w *Writer) header(b block) error {
	copy(b.Magic[:], magicUSTAR)
	copy(b.Version[:], "00")
	for _, field := range [][]byte{b.Mode[:], b.UID[:], b.GID[:], b.Size[:], b.Mtime[:], b.Major[:], b.Minor[:]} {
		if field[0] == 0 {
			putNumber(field, 0)
		}
	}
	p := make([]byte, 0, blockSize)
	p, err := binary.Append(p, binary.BigEndian, &b)
	if err != nil {
		return err
	}
	copy(p[148:], fmt.Sprintf("%06o\x00 ", checksum(p)))
	_, err = w.write(p)
	return err
}

// checksum is the sum of a header's bytes, those of its own field as spaces.
func checksum(p []byte) (sum int64) {
	for i, c := range p {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum
}

// encode makes the header, all but its size, and the records that say what has no
// room in it.
func encode(h Header, times bool) (block, []record, error) {
	a := h.Attr
	b := block{}
	var records []record
	kind, err := typeOf(h)
	if err != nil {
		return b, nil, err
	}
	b.Type = kind
	if setName(&b, h.Name); needsRecord(h.Name, len(b.Name)) {
		records = append(records, record{keyPath, h.Name})
	}
	if copy(b.Link[:], h.Link); needsRecord(h.Link, len(b.Link)) {
		records = append(records, record{keyLink, h.Link})
	}
	number := func(field []byte, key string, n int64) {
		if fits(field, n) {
			putNumber(field, n)
		} else {
			records = append(records, record{key, strconv.FormatInt(n, 10)})
		}
	}
	putNumber(b.Mode[:], int64(a.Mode.Perm()))
	number(b.UID[:], keyUID, int64(a.UID))
	number(b.GID[:], keyGID, int64(a.GID))
	if a.Mode.IsDevice() && !h.Hard {
		putNumber(b.Major[:], int64(a.Major))
		putNumber(b.Minor[:], int64(a.Minor))
	}
	records = append(records, timeRecords(&b, a, times)...)
	if !h.Hard {
		records = append(records, xattrRecords(h.Xattrs)...)
	}
	return b, records, nil
}

func typeOf(h Header) (byte, error) {
	if h.Hard {
		return typeHardLink, nil
	}
	switch h.Attr.Mode.Type() {
	case filesys.Regular:
		return typeRegular, nil
	case filesys.Dir:
		return typeDir, nil
	case filesys.Symlink:
		return typeSymlink, nil
	case filesys.CharDev:
		return typeChar, nil
	case filesys.BlockDev:
		return typeBlock, nil
	case filesys.Fifo:
		return typeFifo, nil
	}
	return 0, ondisk.At(layer, "member", ondisk.NoOffset).Unsupported("%q: an archive has no objects of mode %o", h.Name, h.Attr.Mode)
}

func setName(b *block, name string) {
	b.Name = [100]byte{}
	copy(b.Name[:], name)
}

// needsRecord: a field holds what fits. POSIX wants text in UTF-8 in a record; bytes
// that are none stand in the field, where nobody converts them.
func needsRecord(s string, room int) bool {
	if len(s) > room {
		return true
	}
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	return !ascii && utf8.ValidString(s)
}

// sideName is a name for a header that only old tars show, beside the member's.
func sideName(name, folder string) string {
	name = path.Clean(name)
	return path.Join(path.Dir(name), folder, path.Base(name))
}

func timeRecords(b *block, a filesys.Attr, all bool) []record {
	var out []record
	mtime := a.Mtime
	if mtime.IsZero() {
		mtime = time.Unix(0, 0)
	}
	sec := mtime.Unix()
	if mtime.Nanosecond() != 0 || !fits(b.Mtime[:], sec) {
		out = append(out, record{keyMtime, formatTime(mtime)})
		sec = max(0, min(sec, 1<<33-1))
	}
	putNumber(b.Mtime[:], sec)
	for key, t := range map[string]time.Time{keyAtime: a.Atime, keyCtime: a.Ctime} {
		if all && !t.IsZero() {
			out = append(out, record{key, formatTime(t)})
		}
	}
	slices.SortFunc(out, func(x, y record) int { return cmp.Compare(x.key, y.key) })
	return out
}

func xattrRecords(xattrs map[string][]byte) []record {
	var out []record
	for _, name := range slices.Sorted(maps.Keys(xattrs)) {
		value := xattrs[name]
		if key := map[string]string{xattrACL: keyACL, xattrDefault: keyDefault}[name]; key != "" {
			if acl, ok := aclText(value); ok {
				out = append(out, record{key, acl})
				continue
			}
		}
		out = append(out, record{keyXattr + xattrEncoder.Replace(name), string(value)})
	}
	return out
}
