package cpio

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	magicNew = "070701"
	magicCRC = "070702"
	magicOdc = "070707"

	headerSize = 110
	fieldCount = 13
	trailer    = "TRAILER!!!"

	// MaxName is the longest name in bytes, its NUL included: the kernel's PATH_MAX.
	MaxName = 4096
)

// The type bits of [Header.Mode], as stat(2) has them.
const (
	TypeMask    = 0o170000
	TypeSocket  = 0o140000
	TypeSymlink = 0o120000
	TypeRegular = 0o100000
	TypeBlock   = 0o060000
	TypeDir     = 0o040000
	TypeChar    = 0o020000
	TypeFIFO    = 0o010000
)

// Header is one entry of an archive, in the order of its fields on disk.
type Header struct {
	Name      string
	Ino       uint32
	Mode      uint32 // type and permissions
	UID, GID  uint32
	Nlink     uint32
	Mtime     uint32 // seconds since 1970
	Size      uint32 // bytes of data; of a symbolic link, of its target
	DevMajor  uint32
	DevMinor  uint32
	RdevMajor uint32
	RdevMinor uint32
	Check     uint32 // sum of the data's bytes when Checked
	Checked   bool   // magic 070702
}

// Type is the type bits of the mode.
func (h *Header) Type() uint32 { return h.Mode & TypeMask }

// IsDir, IsRegular and IsSymlink tell the type of the entry.
func (h *Header) IsDir() bool     { return h.Type() == TypeDir }
func (h *Header) IsRegular() bool { return h.Type() == TypeRegular }
func (h *Header) IsSymlink() bool { return h.Type() == TypeSymlink }

// IsMagic reports whether p begins as a readable archive does.
func IsMagic(p []byte) bool {
	return len(p) >= len(magicNew) &&
		(string(p[:len(magicNew)]) == magicNew || string(p[:len(magicCRC)]) == magicCRC)
}

// decode fills h from a raw header but for the name; it returns the length of
// the name with its NUL.
func (h *Header) decode(p *[headerSize]byte) (nameLen int, err error) {
	switch string(p[:6]) {
	case magicNew:
		h.Checked = false
	case magicCRC:
		h.Checked = true
	case magicOdc:
		return 0, ondisk.Because(ondisk.ErrUnsupported, "archive of the old portable kind (070707)")
	default:
		return 0, ondisk.Because(ondisk.ErrCorrupt, "no magic of an archive: %q", p[:6])
	}
	var field [fieldCount]uint32
	for i := range field {
		v, ok := hex8(p[6+8*i : 14+8*i])
		if !ok {
			return 0, ondisk.Because(ondisk.ErrCorrupt, "field %d is not hexadecimal: %q", i, p[6+8*i:14+8*i])
		}
		field[i] = v
	}
	h.Ino, h.Mode, h.UID, h.GID, h.Nlink, h.Mtime, h.Size = field[0], field[1], field[2], field[3], field[4], field[5], field[6]
	h.DevMajor, h.DevMinor, h.RdevMajor, h.RdevMinor, h.Check = field[7], field[8], field[9], field[10], field[12]
	if field[11] < 1 || field[11] > MaxName {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "name of %d bytes", field[11])
	}
	return int(field[11]), nil
}

func hex8(p []byte) (v uint32, ok bool) {
	for _, c := range p {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint32(c)
	}
	return v, true
}

// encode appends the header and the padded name.
func (h *Header) encode(dst []byte) []byte {
	dst = append(dst, magicNew...)
	for _, v := range [fieldCount]uint32{
		h.Ino, h.Mode, h.UID, h.GID, h.Nlink, h.Mtime, h.Size,
		h.DevMajor, h.DevMinor, h.RdevMajor, h.RdevMinor, uint32(len(h.Name) + 1), 0,
	} {
		dst = fmt.Appendf(dst, "%08X", v)
	}
	dst = append(dst, h.Name...)
	dst = append(dst, 0)
	return append(dst, make([]byte, pad4(int64(headerSize+len(h.Name)+1)))...)
}

// pad4 is the number of bytes from n to the next multiple of four.
func pad4(n int64) int64 { return -n & 3 }
