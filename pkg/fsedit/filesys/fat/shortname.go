package fat

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// checkName makes UTF-16 of a new name, and refuses what no directory can hold
// as it is. Dots and blanks at the end are dropped by one system or the other.
func checkName(name string) ([]uint16, error) {
	bad := &fs.PathError{Op: "edit", Path: name, Err: filesys.ErrName}
	if name == "" || !utf8.ValidString(name) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return nil, bad
	}
	if strings.ContainsAny(name, `"*/:<>?\|`) || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 }) {
		return nil, bad
	}
	units := utf16.Encode([]rune(name))
	if len(units) > maxLong {
		return nil, bad
	}
	return units, nil
}

// shortChars are allowed in a short name besides letters and digits of ASCII.
const shortChars = "!#$%&'()-@^_`{}~"

// shorten makes base and extension of a name in capital letters. exact: the name
// itself is that; lossy: others may give the same, so that it needs a number.
func shorten(name string) (base, ext string, exact, lossy bool) {
	rest := strings.TrimLeft(name, ". ")
	lossy = rest != name
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		rest, ext = rest[:i], rest[i+1:]
	}
	base, lostBase := shortPart(rest, 8)
	ext, lostExt := shortPart(ext, 3)
	lossy = lossy || lostBase || lostExt
	whole := base
	if ext != "" {
		whole += "." + ext
	}
	return base, ext, !lossy && whole == name, lossy
}

// shortPart makes at most limit characters that every code page has.
func shortPart(part string, limit int) (short string, lossy bool) {
	var b strings.Builder
	for _, r := range part {
		c := byte('_')
		switch {
		case r == '.' || r == ' ':
			lossy = true
			continue
		case 'a' <= r && r <= 'z':
			c = byte(r) - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r < utf8.RuneSelf && strings.IndexByte(shortChars, byte(r)) >= 0:
			c = byte(r)
		default:
			lossy = true
		}
		if b.Len() == limit {
			return b.String(), true
		}
		b.WriteByte(c)
	}
	return b.String(), lossy
}

func packShort(base, ext string) (name [11]byte) {
	copy(name[:], fmt.Sprintf("%-8s%-3s", base, ext))
	return name
}

// plainTails is how many numbers are tried before a hash makes the choice, as
// Windows does it.
const plainTails = 4

// shortName chooses a short name that no name of the directory is equal to;
// exact: it needs no long name.
func shortName(name string, taken map[string]bool) (short [11]byte, exact bool, err error) {
	base, ext, exact, lossy := shorten(name)
	free := func(base string) bool {
		short = packShort(base, ext)
		return !taken[foldName(shownShort(slot{Name: short}))]
	}
	if !lossy && free(base) {
		return short, exact, nil
	}
	for n := 1; n <= plainTails; n++ {
		tail := "~" + strconv.Itoa(n)
		if free(base[:min(len(base), 8-len(tail))] + tail) {
			return short, false, nil
		}
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	for sum := range uint32(1 << 16) {
		if free(fmt.Sprintf("%s%04X~1", base[:min(len(base), 2)], uint16(h.Sum32()+sum))) {
			return short, false, nil
		}
	}
	return short, false, ondisk.At(layer, "", ondisk.NoOffset).NoSpace("no short name is left for %q", name)
}

// longSlots are the slots of a long name, as they lie before that of the file.
func longSlots(units []uint16, short [11]byte) []byte {
	count := (len(units) + longUnits - 1) / longUnits
	raw := make([]byte, count*slotSize)
	sum := shortSum(short)
	for n := count; n >= 1; n-- {
		p := raw[(count-n)*slotSize:][:slotSize]
		p[0], p[slAttr], p[longSum] = byte(n), attrLong, sum
		for k, at := range longPlaces {
			unit := uint16(0xFFFF)
			switch i := (n-1)*longUnits + k; {
			case i < len(units):
				unit = units[i]
			case i == len(units):
				unit = 0
			}
			le.PutUint16(p[at:], unit)
		}
	}
	raw[0] |= longLast
	return raw
}
