package pax

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// sparse gathers what headers and records say about holes.
type sparse struct {
	is       bool
	name     string // the member's own; its header has one for tars that know no holes
	inData   bool   // format 1.0: the map stands before the data
	size     int64
	segments []segment
	off      int64 // format 0.0: of the segment whose length follows
}

// member puts together a member whose header is b and whose data follows.
func (r *reader) member(b block, raw []byte, size int64) (Member, error) {
	var m Member
	var holes sparse
	if err := m.decode(&b); err != nil {
		return m, err
	}
	if r.longName != "" {
		m.Name = r.longName
	}
	if r.longLink != "" {
		m.Link = r.longLink
	}
	for _, records := range [][]record{r.global, r.records} {
		for _, rec := range records {
			if err := r.apply(&m, &holes, &size, rec); err != nil {
				return m, err
			}
		}
	}
	if holes.name != "" {
		m.Name = holes.name
	}
	mode, err := parseNumber(b.Mode[:])
	if err != nil {
		return m, err
	}
	m.Attr.Mode = kindOf(&b, m.Name) | filesys.Mode(mode).Perm()
	if b.Type == typeGNUSparse {
		if err := r.oldSparse(raw, &holes); err != nil {
			return m, err
		}
	}
	if isBare(b.Type) {
		size = 0 // some tars write that of the file that a link leads to
	}
	data, err := r.section(size)
	if err != nil || !m.Attr.Mode.IsRegular() || m.Hard {
		return m, err
	}
	m.Content = solid{data}
	if holes.is {
		m.Content, err = r.expand(data, holes)
	}
	if err == nil {
		m.Attr.Size = m.Content.Size()
	}
	return m, err
}

// isBare tells the types whose members have no data whatever their size says.
func isBare(kind byte) bool { return kind >= typeHardLink && kind <= typeFifo }

func kindOf(b *block, name string) filesys.Mode {
	if b.isDir(name) {
		return filesys.Dir
	}
	switch b.Type {
	case typeSymlink:
		return filesys.Symlink
	case typeChar:
		return filesys.CharDev
	case typeBlock:
		return filesys.BlockDev
	case typeFifo:
		return filesys.Fifo
	}
	return filesys.Regular // POSIX has unknown types read so
}

// decode reads what stands in the header itself.
func (m *Member) decode(b *block) error {
	m.Name, m.Link = b.name(), text(b.Link[:])
	m.Hard = b.Type == typeHardLink
	var mtime int64
	numbers := []struct {
		field []byte
		to    func(int64)
		max   int64
	}{
		{b.UID[:], func(n int64) { m.Attr.UID = uint32(n) }, 1<<32 - 1},
		{b.GID[:], func(n int64) { m.Attr.GID = uint32(n) }, 1<<32 - 1},
		{b.Mtime[:], func(n int64) { mtime = n }, 1<<62 - 1},
		{b.Major[:], func(n int64) { m.Attr.Major = uint32(n) }, 1<<32 - 1},
		{b.Minor[:], func(n int64) { m.Attr.Minor = uint32(n) }, 1<<32 - 1},
	}
	if !b.isUSTAR() || b.Type != typeChar && b.Type != typeBlock {
		numbers = numbers[:3]
	}
	for i, x := range numbers {
		n, err := parseNumber(x.field)
		if err != nil {
			return err
		}
		if n > x.max || n < 0 && i != 2 {
			return ondisk.Because(ondisk.ErrCorrupt, "the number %d is out of range", n)
		}
		x.to(n)
	}
	m.Attr.Mtime = time.Unix(mtime, 0)
	return nil
}

// apply carries a record into a member.
func (r *reader) apply(m *Member, holes *sparse, size *int64, rec record) (err error) {
	v := rec.value
	switch rec.key {
	case keyPath:
		m.Name = v
	case keyLink:
		m.Link = v
	case keySize:
		*size, err = parseDecimal(v)
	case keyUID:
		m.Attr.UID, err = parseID(v)
	case keyGID:
		m.Attr.GID, err = parseID(v)
	case keyMtime:
		m.Attr.Mtime, err = parseTime(v)
	case keyAtime:
		m.Attr.Atime, err = parseTime(v)
	case keyCtime:
		m.Attr.Ctime, err = parseTime(v)
	case keyACL:
		return m.acl(xattrACL, v, r.ids)
	case keyDefault:
		return m.acl(xattrDefault, v, r.ids)
	case keySELinux:
		m.xattr(xattrSELinux, append([]byte(v), 0))
	default:
		if name, ok := strings.CutPrefix(rec.key, keyXattr); ok && name != "" {
			m.xattr(xattrDecoder.Replace(name), []byte(v))
		} else if strings.HasPrefix(rec.key, "GNU.sparse.") {
			return r.applySparse(holes, rec)
		}
	}
	return err
}

func parseID(s string) (uint32, error) {
	n, err := parseDecimal(s)
	if err == nil && n > 1<<32-1 {
		err = ondisk.Because(ondisk.ErrCorrupt, "%q is no owner of Linux", s)
	}
	return uint32(n), err
}

func (m *Member) acl(name, v string, ids IDs) error {
	value, err := parseACL(v, ids)
	if err == nil && len(value) > aclHeader {
		m.xattr(name, value)
	}
	return err
}

func (m *Member) xattr(name string, value []byte) {
	if m.Xattrs == nil {
		m.Xattrs = map[string][]byte{}
	}
	m.Xattrs[name] = value
}

func (r *reader) applySparse(holes *sparse, rec record) (err error) {
	holes.is = true
	v := rec.value
	switch rec.key {
	case keyMajor:
		if holes.inData = v == "1"; v != "0" && v != "1" {
			err = ondisk.Because(ondisk.ErrUnsupported, "sparse format %q", v)
		}
	case keyRealName:
		holes.name = v
	case keyRealSize, keyOldSize:
		holes.size, err = parseDecimal(v)
	case keyMap:
		holes.segments, err = parseMap(v, r.limits.Entries)
	case keyOffset:
		holes.off, err = parseDecimal(v)
	case keyLength:
		var n int64
		if n, err = parseDecimal(v); err == nil {
			holes.segments = append(holes.segments, segment{holes.off, n})
		}
	}
	return err
}

// oldSparse reads the map of an old GNU header and of the blocks behind it.
func (r *reader) oldSparse(raw []byte, holes *sparse) error {
	var b gnuBlock
	if _, err := binary.Decode(raw[345:], binary.BigEndian, &b); err != nil {
		return err
	}
	holes.is = true
	var err error
	if holes.size, err = parseNumber(b.RealSize[:]); err != nil {
		return err
	}
	list, more := b.Segments[:], b.More != 0
	for {
		for _, s := range list {
			if s == (gnuSegment{}) {
				continue
			}
			off, err := parseNumber(s.Off[:])
			if err != nil {
				return err
			}
			n, err := parseNumber(s.Len[:])
			if err != nil {
				return err
			}
			holes.segments = append(holes.segments, segment{off, n})
		}
		if !more {
			return nil
		}
		if len(holes.segments) > r.limits.Entries {
			return tooManySegments(r.limits.Entries)
		}
		next, err := ondisk.Read[moreBlock](r.dev, r.pos, binary.BigEndian)
		if err != nil {
			return err
		}
		r.pos += blockSize
		list, more = next.Segments[:], next.More != 0
	}
}

// expand gives a sparse member its holes back.
func (r *reader) expand(data blockdev.Device, holes sparse) (blockdev.Device, error) {
	if holes.inData {
		segments, n, err := readMap(data, r.limits.Entries)
		if err != nil {
			return nil, err
		}
		holes.segments = segments
		if n > data.Size() {
			n = data.Size()
		}
		if data, err = blockdev.NewSection(data, n, data.Size()-n); err != nil {
			return nil, err
		}
	}
	return sparseFile(solid{data}, holes.segments, holes.size)
}

// solid hides the holes that the archive's own file has: what an archive stores,
// zeros included, was no hole. A file that must not have any (a swap file) keeps
// that.
type solid struct{ inner blockdev.Device }

func (s solid) Size() int64                             { return s.inner.Size() }
func (s solid) ReadAt(p []byte, off int64) (int, error) { return s.inner.ReadAt(p, off) }
