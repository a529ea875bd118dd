package pax

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Member is one name of an archive.
type Member struct {
	Header
	Content blockdev.Device // of a regular file; holes are Zero, all else is Data
}

// ReadOptions tune [Members]. The zero value is good.
type ReadOptions struct {
	Limits ondisk.Limits
	// IDs resolves the names in ACLs that have no ids.
	IDs IDs
}

// Members lists what is in the archive on dev, in its order. It stops behind the
// first error: ondisk.ErrFormat where no archive begins, ErrCorrupt where one
// breaks off, ErrUnsupported and ErrTooBig at what cannot be read.
func Members(ctx context.Context, dev blockdev.Device, o ReadOptions) iter.Seq2[Member, error] {
	r := &reader{dev: dev, limits: o.Limits.OrDefault(), ids: o.IDs}
	if r.ids == nil {
		r.ids = noIDs
	}
	return func(yield func(Member, error) bool) {
		for {
			if err := ctx.Err(); err != nil {
				yield(Member{}, err)
				return
			}
			m, more, err := r.next()
			if err != nil {
				yield(Member{}, ondisk.At(layer, "header", r.start).Wrap(err))
				return
			}
			if !more || !yield(m, nil) {
				return
			}
		}
	}
}

type reader struct {
	dev    blockdev.Device
	limits ondisk.Limits
	ids    IDs
	pos    int64
	start  int64 // of the header that is read
	any    bool  // a header was read

	global   []record
	records  []record // of the next member
	longName string   // GNU's, of the next member
	longLink string
}

// next goes to the next member; false at the end.
func (r *reader) next() (m Member, more bool, err error) {
	r.records, r.longName, r.longLink = nil, "", ""
	for {
		b, raw, err := r.header()
		if err != nil || raw == nil {
			return m, false, err
		}
		size, err := parseNumber(b.Size[:])
		if err != nil {
			return m, false, err
		}
		switch b.Type {
		case typePax, typePaxSun:
			records, err := r.recordsOf(size)
			if err != nil {
				return m, false, err
			}
			r.records = append(r.records, records...)
		case typePaxGlobal:
			records, err := r.recordsOf(size)
			if err != nil {
				return m, false, err
			}
			r.global = append(r.global, records...)
		case typeGNUName, typeGNULink:
			p, err := r.take(size)
			if err != nil {
				return m, false, err
			}
			if b.Type == typeGNUName {
				r.longName = text(p)
			} else {
				r.longLink = text(p)
			}
		case typeGNULabel, typeSunACL:
			if _, err := r.section(size); err != nil {
				return m, false, err
			}
		case typeGNUVolume:
			return m, false, ondisk.Because(ondisk.ErrUnsupported, "the archive is one of several volumes")
		default:
			m, err := r.member(b, raw, size)
			return m, err == nil, err
		}
	}
}

// header reads a header and goes behind it; no bytes are the end of the archive.
func (r *reader) header() (block, []byte, error) {
	r.start = r.pos
	if r.pos == r.dev.Size() && r.any {
		return block{}, nil, nil
	}
	if r.pos >= r.dev.Size() {
		return block{}, nil, ondisk.Because(ondisk.ErrFormat, "no tar archive: it is empty")
	}
	raw := make([]byte, blockSize)
	if r.dev.Size() < blockSize {
		return block{}, nil, ondisk.Because(ondisk.ErrFormat, "no tar archive")
	}
	if err := ondisk.Full(r.dev, raw, r.pos); err != nil {
		return block{}, nil, err
	}
	r.pos += blockSize
	if ondisk.IsZero(raw) {
		return block{}, nil, nil
	}
	var b block
	if _, err := binary.Decode(raw, binary.BigEndian, &b); err != nil {
		return b, nil, err
	}
	want, err := parseNumber(b.Checksum[:])
	if err != nil || want != checksum(raw) && want != signedChecksum(raw) {
		if !r.any {
			return b, nil, ondisk.Because(ondisk.ErrFormat, "no tar archive")
		}
		return b, nil, ondisk.Because(ondisk.ErrCorrupt, "the checksum is wrong: no header is here")
	}
	r.any = true
	return b, raw, nil
}

// signedChecksum is what tars made where a char has a sign.
func signedChecksum(p []byte) (sum int64) {
	for i, c := range p {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(int8(c))
	}
	return sum
}

// section is the size bytes that follow; the reader goes behind them. The padding
// of the last member may be missing.
func (r *reader) section(size int64) (blockdev.Device, error) {
	if !ondisk.InRange(r.pos, size, r.dev.Size()) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the archive ends early: %d bytes wanted, %d there", size, r.dev.Size()-r.pos)
	}
	d, err := blockdev.NewSection(r.dev, r.pos, size)
	r.pos = min(r.dev.Size(), ondisk.AlignUp(r.pos+size, blockSize))
	return d, err
}

// take reads the size bytes that follow.
func (r *reader) take(size int64) ([]byte, error) {
	if size > r.limits.Text {
		return nil, ondisk.Because(ondisk.ErrTooBig, "an extended header of %d bytes", size)
	}
	d, err := r.section(size)
	if err != nil {
		return nil, err
	}
	return ondisk.Bytes(d, 0, size)
}

func (r *reader) recordsOf(size int64) ([]record, error) {
	if len(r.records)+len(r.global) > r.limits.Entries {
		return nil, ondisk.Because(ondisk.ErrTooBig, "too many extended headers")
	}
	p, err := r.take(size)
	if err != nil {
		return nil, err
	}
	return parseRecords(p)
}

// isUSTAR tells whether the header has the fields from Magic on.
func (b *block) isUSTAR() bool { return bytes.HasPrefix(b.Magic[:], []byte(magicUSTAR[:5])) }

// name is the name as the header tells it.
func (b *block) name() string {
	name := text(b.Name[:])
	if prefix := text(b.Prefix[:]); prefix != "" && string(b.Magic[:]) == magicUSTAR {
		name = prefix + "/" + name
	}
	return name
}

// isDir knows the directories of V7 too, which are files that end in a slash.
func (b *block) isDir(name string) bool {
	switch b.Type {
	case typeDir, typeGNUDump:
		return true
	case typeRegular, typeRegularOld:
		return strings.HasSuffix(name, "/")
	}
	return false
}
