package vmdef

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxNodes bounds the elements, attributes, lines and values of a description.
// The largest real ones have some thousands.
const maxNodes = 1 << 17

// checkText refuses a description that is larger than any real one, before
// anything is built from it. Marks are the bytes that begin a new node.
func checkText(layer string, data []byte, limits ondisk.Limits, marks ...string) error {
	at := ondisk.At(layer, "description", ondisk.NoOffset)
	if int64(len(data)) > limits.Text {
		return at.TooBig("%d bytes, more than %d", len(data), limits.Text)
	}
	nodes := 0
	for _, mark := range marks {
		nodes += bytes.Count(data, []byte(mark))
	}
	if nodes > maxNodes {
		return at.TooBig("more than %d elements", maxNodes)
	}
	return nil
}

// unmark removes a byte order mark and turns UTF-16 into UTF-8.
func unmark(data []byte) []byte {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		return fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fromUTF16(data[2:], binary.BigEndian)
	case bytes.HasPrefix(data, []byte("<\x00")):
		return fromUTF16(data, binary.LittleEndian)
	}
	return data
}

func fromUTF16(data []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// windows1252 are the characters from 0x80 to 0x9f, where that code page differs
// from ISO 8859-1. The five that it leaves open stay control characters.
var windows1252 = [32]rune{
	'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
	0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
}

func fromWindows1252(s string) string {
	var b strings.Builder
	for i := range len(s) {
		r := rune(s[i])
		if r >= 0x80 && r <= 0x9f {
			r = windows1252[r-0x80]
		}
		b.WriteRune(r)
	}
	return b.String()
}

// decodeText turns text of a named encoding into UTF-8, and reports whether it
// could. Text that is ASCII, or UTF-8 without being told so, needs no encoding.
func decodeText(s, encoding string) (string, bool) {
	switch strings.ToLower(encoding) {
	case "windows-1252", "cp1252", "iso-8859-1", "latin1", "us-ascii", "ascii":
		return fromWindows1252(s), true
	case "", "utf-8", "utf8", "utf-16":
		if !utf8.ValidString(s) {
			return fromWindows1252(s), false
		}
		return s, true
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return s, false
		}
	}
	return s, true
}
