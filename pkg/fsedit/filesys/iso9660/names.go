package iso9660

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// title is the name that a record is shown by.
func (v *volume) title(o *object) string {
	switch {
	case o.rock.name != "":
		return o.rock.name
	case v.form == jolietNames:
		return jolietName(o.name)
	}
	return plainName(o.name)
}

// jolietName decodes UCS-2, the high byte first, and drops the version and dots
// at the end, as Linux does.
func jolietName(raw string) string {
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16([]byte(raw[2*i : 2*i+2]))
	}
	name := strings.TrimSuffix(string(utf16.Decode(units)), ";1")
	for len(name) > 1 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	return name
}

// plainName is in small letters, without the first version and without an
// extension's dot before nothing, as Linux maps it.
func plainName(raw string) string {
	name := []byte(strings.TrimSuffix(raw, ";1"))
	if n := len(name); n > 1 && name[n-1] == '.' {
		name = name[:n-1]
	}
	for i, c := range name {
		switch {
		case c >= 'A' && c <= 'Z':
			name[i] = c + 'a' - 'A'
		case c == ';' || c == '/':
			name[i] = '.'
		}
	}
	return string(name)
}
