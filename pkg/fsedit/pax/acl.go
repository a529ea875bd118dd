package pax

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// The form of an ACL in setxattr(2), include/uapi/linux/posix_acl_xattr.h: a
// version of 4 bytes, then tag, permissions and id of each entry.
const (
	aclVersion   = 2
	aclHeader    = 4
	aclEntrySize = 8
	aclNoID      = 1<<32 - 1
)

// aclTags are e_tag and its word in the text form, acl(5).
var aclTags = []struct {
	tag   uint16
	word  string
	named bool // the entry is about the user or group of its id
}{
	{0x01, "user", false}, {0x02, "user", true}, {0x04, "group", false}, {0x08, "group", true},
	{0x10, "mask", false}, {0x20, "other", false},
}

// aclText is the long text form with numeric ids; false when the value is no
// ACL that has one.
func aclText(value []byte) (string, bool) {
	if len(value) <= aclHeader || (len(value)-aclHeader)%aclEntrySize != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return "", false
	}
	var b strings.Builder
	for p := value[aclHeader:]; len(p) > 0; p = p[aclEntrySize:] {
		entry, ok := aclEntryText(p)
		if !ok {
			return "", false
		}
		b.WriteString(entry)
		b.WriteByte('\n')
	}
	out := b.String()
	again, err := parseACL(out, noIDs)
	return out, err == nil && string(again) == string(value)
}

func aclEntryText(p []byte) (string, bool) {
	tag, perm, id := binary.LittleEndian.Uint16(p), binary.LittleEndian.Uint16(p[2:]), binary.LittleEndian.Uint32(p[4:])
	for _, t := range aclTags {
		if t.tag != tag {
			continue
		}
		name := ""
		if t.named {
			name = strconv.FormatUint(uint64(id), 10)
		}
		bits := []byte("---")
		for i, c := range []byte("rwx") {
			if perm&(4>>i) != 0 {
				bits[i] = c
			}
		}
		return t.word + ":" + name + ":" + string(bits), perm < 8
	}
	return "", false
}

// IDs finds the id of a user ("user") or group ("group") by name.
type IDs func(word, name string) (uint32, bool)

func noIDs(string, string) (uint32, bool) { return 0, false }

// parseACL reads the text form: entries by line or comma, with a comment each.
func parseACL(s string, ids IDs) ([]byte, error) {
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for entry := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == ',' }) {
		entry, _, _ = strings.Cut(entry, "#")
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		var err error
		if out, err = appendACLEntry(out, strings.Split(entry, ":"), ids); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendACLEntry takes tag, name and permissions; star adds the id of the name.
func appendACLEntry(dst []byte, parts []string, ids IDs) ([]byte, error) {
	bad := func() ([]byte, error) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%q is no entry of an ACL", strings.Join(parts, ":"))
	}
	if len(parts) < 3 {
		return bad()
	}
	perm := uint16(0)
	for _, c := range parts[2] {
		bit, ok := map[rune]uint16{'r': 4, 'w': 2, 'x': 1, '-': 0}[c]
		if !ok {
			return bad()
		}
		perm |= bit
	}
	name := parts[1]
	if len(parts) > 3 && name != "" {
		name = parts[3]
	}
	for _, t := range aclTags {
		if t.named != (name != "") || t.word != parts[0] && t.word[:1] != parts[0] {
			continue
		}
		id := uint32(aclNoID)
		if t.named {
			var err error
			if id, err = ids.find(t.word, name); err != nil {
				return nil, err
			}
		}
		dst = binary.LittleEndian.AppendUint16(dst, t.tag)
		dst = binary.LittleEndian.AppendUint16(dst, perm)
		return binary.LittleEndian.AppendUint32(dst, id), nil
	}
	return bad()
}

func (ids IDs) find(word, name string) (uint32, error) {
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(id), nil
	}
	if id, ok := ids(word, name); ok {
		return id, nil
	}
	return 0, ondisk.Because(ondisk.ErrUnsupported, "an ACL names the %s %q, whose id is not known here", word, name)
}
