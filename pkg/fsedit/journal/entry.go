package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxItems bounds the fields of an entry. journald takes 1024 from a client and
// adds some of its own.
const maxItems = 16 << 10

// Entry is one entry of a log, without its fields.
type Entry struct {
	Seqnum    uint64
	Realtime  uint64 // microseconds since 1970
	Monotonic uint64 // microseconds since boot
	Boot      ID
	Hash      uint64

	file  *File
	off   uint64
	items int
}

// Time is when the entry was written.
func (e Entry) Time() time.Time { return time.UnixMicro(int64(min(e.Realtime, 1<<62))).UTC() }

// Cursor is the name of the entry's place, as journalctl(1) says it.
func (e Entry) Cursor() string {
	return fmt.Sprintf("s=%v;i=%x;b=%v;m=%x;t=%x;x=%x", e.file.Writer(), e.Seqnum, e.Boot, e.Monotonic, e.Realtime, e.Hash)
}

// Field is a part of an entry: "MESSAGE" and its bytes. A name may come twice.
type Field struct {
	Name  string
	Value []byte // shared; not to be changed
}

// Entry reads entry i, from 0: ondisk.ErrCorrupt when it is torn.
func (f *File) Entry(i int) (Entry, error) {
	off, err := f.entryOffset(i)
	if err != nil {
		return Entry{}, err
	}
	h, err := f.object(off, typeEntry)
	if err != nil {
		return Entry{}, err
	}
	at := ondisk.At(layer, "entry", int64(off))
	var raw [entrySize]byte
	if err := f.dev.read(raw[:], int64(off)); err != nil {
		return Entry{}, at.Wrap(err)
	}
	le := binary.LittleEndian
	e := Entry{
		Seqnum: le.Uint64(raw[16:]), Realtime: le.Uint64(raw[24:]), Monotonic: le.Uint64(raw[32:]),
		Boot: ID(raw[40:56]), Hash: le.Uint64(raw[56:]), file: f, off: off,
	}
	n := (h.Size - entrySize) / uint64(f.itemSize())
	switch {
	case n > maxItems:
		return e, at.TooBig("%d fields", n)
	case n == 0 || e.Seqnum == 0 || e.Realtime == 0:
		return e, at.Corrupt("it is empty")
	}
	e.items = int(n)
	return e, nil
}

func (f *File) itemSize() int64 {
	if f.compact() {
		return itemSizeCompact
	}
	return itemSize
}

// Fields reads the fields of the entry, in the order in which they are stored.
// Those that are torn are left out, and told by the error beside the others.
func (e Entry) Fields() ([]Field, error) {
	f := e.file
	out := make([]Field, 0, e.items)
	total := int64(0)
	var torn error
	for i := range e.items {
		off, err := f.offset(int64(e.off) + entrySize + int64(i)*f.itemSize())
		if err != nil {
			return out, err
		}
		field, err := f.field(off, f.limits.Text-total)
		if err != nil {
			torn = err
			continue
		}
		total += int64(len(field.Name) + len(field.Value))
		out = append(out, field)
	}
	return out, torn
}

// What is remembered of fields that were read: the short ones come again.
const (
	maxKept      = 4096
	maxKeptValue = 256
)

// field reads a data object, of at most limit bytes when it is unpacked.
func (f *File) field(off uint64, limit int64) (Field, error) {
	if field, ok := f.fields[off]; ok {
		return field, nil
	}
	h, err := f.object(off, typeData)
	if err != nil {
		return Field{}, err
	}
	at := ondisk.At(layer, "data object", int64(off))
	n := int64(h.Size) - f.payloadOffset()
	if n > limit {
		return Field{}, at.TooBig("the fields of one entry have more than %d bytes", f.limits.Text)
	}
	payload := make([]byte, n)
	if err := f.dev.read(payload, int64(off)+f.payloadOffset()); err != nil {
		return Field{}, at.Wrap(err)
	}
	if h.Flags&packedMask != 0 {
		if payload, err = unpack(payload, h.Flags&packedMask, limit); err != nil {
			return Field{}, at.Wrap(err)
		}
	}
	name, value, ok := bytes.Cut(payload, []byte("="))
	if !ok || len(name) == 0 {
		return Field{}, at.Corrupt("no name and value")
	}
	field := Field{string(name), value}
	if len(value) <= maxKeptValue {
		if len(f.fields) >= maxKept {
			clear(f.fields)
		}
		f.fields[off] = field
	}
	return field, nil
}
