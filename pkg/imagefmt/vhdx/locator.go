package vhdx

import (
	"path"
	"strings"
	"unicode/utf16"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// locator is what a parent locator says: keys and their values.
type locator map[string]string

// Keys of a locator ([MS-VHDX] 2.6.2.6.3).
const (
	keyLinkage  = "parent_linkage"
	keyLinkage2 = "parent_linkage2"
	keyRelative = "relative_path"
	keyVolume   = "volume_path"
	keyAbsolute = "absolute_win32_path"
)

func parseLocator(item []byte) (locator, error) {
	const headSize, entrySize = 20, 12
	if len(item) < headSize {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the disk has a parent and does not say which")
	}
	head := decode[diskLocator](item)
	if head.Type != locatorVHDX {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "type %v is not known", head.Type)
	}
	if int(head.Count) > (len(item)-headSize)/entrySize {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%d entries in %d bytes", head.Count, len(item))
	}
	l := locator{}
	spent := 0
	for i := range int(head.Count) {
		e := decode[diskLocatorEntry](item[headSize+i*entrySize:])
		key, ok1 := utf16At(item, e.Key, e.KeyLength)
		value, ok2 := utf16At(item, e.Value, e.ValueLength)
		// Entries may share their bytes; a sum beyond the item says that they do.
		if spent += int(e.KeyLength) + int(e.ValueLength); !ok1 || !ok2 || spent > len(item) {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "entry %d does not lie in the item", i)
		}
		l[key] = value
	}
	return l, nil
}

func utf16At(p []byte, off uint32, n uint16) (string, bool) {
	if n%2 != 0 || !ondisk.InRange(int64(off), int64(n), int64(len(p))) {
		return "", false
	}
	units := make([]uint16, n/2)
	for i := range units {
		units[i] = le.Uint16(p[int(off)+2*i:])
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00"), true
}

// names are the places where the parent may be, most likely first: where the
// relative path says, then the same name beside the child.
func (l locator) names() []string {
	var names []string
	add := func(name string) {
		if name == "" || name == "." || name == "/" || name == ".." {
			return
		}
		for _, n := range names {
			if n == name {
				return
			}
		}
		names = append(names, name)
	}
	slashed := func(key string) string { return strings.ReplaceAll(l[key], `\`, "/") }
	if rel := slashed(keyRelative); rel != "" {
		add(path.Clean(rel))
	}
	for _, key := range []string{keyRelative, keyAbsolute, keyVolume} {
		if p := slashed(key); p != "" {
			add(path.Base(p))
		}
	}
	return names
}

// linkedTo reports whether the parent with that DataWriteGuid is the right one.
func (l locator) linkedTo(data guid) bool {
	for _, key := range []string{keyLinkage, keyLinkage2} {
		if g, ok := parseGUID(l[key]); ok && g == data {
			return true
		}
	}
	return false
}
