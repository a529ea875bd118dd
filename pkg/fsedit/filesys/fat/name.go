package fat

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// codePage437 is the upper half of the code page in which Linux and firmware
// read short names.
var codePage437 = []rune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0")

// oemText makes UTF-8 of bytes of the code page.
func oemText(b *strings.Builder, p []byte, lower bool) {
	for _, c := range p {
		r := rune(c)
		switch {
		case c >= 0x80:
			r = codePage437[c-0x80]
		case c < 0x20 || c == '/':
			r = '_' // no system writes that, and no path could hold it
		}
		if lower {
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
}

// shownShort is a short name as Linux shows it: "README.TXT", in lower case
// where Windows NT marked it so.
func shownShort(s slot) string {
	name := s.Name
	if name[0] == slotKanji {
		name[0] = slotDeleted
	}
	base, ext := trimBlanks(name[:8]), trimBlanks(name[8:])
	var b strings.Builder
	oemText(&b, base, s.Case&caseBase != 0)
	if len(ext) > 0 {
		b.WriteByte('.')
		oemText(&b, ext, s.Case&caseExt != 0)
	}
	if text := b.String(); text != "" && text != "." && text != ".." {
		return text
	}
	return "_"
}

func trimBlanks(p []byte) []byte {
	for len(p) > 0 && p[len(p)-1] == ' ' {
		p = p[:len(p)-1]
	}
	return p
}

// shownLabel is the text of a label.
func shownLabel(name [11]byte) string {
	if name[0] == slotKanji {
		name[0] = slotDeleted
	}
	var b strings.Builder
	oemText(&b, trimBlanks(name[:]), false)
	return b.String()
}

// shortSum is the checksum of a short name that its long name carries.
func shortSum(name [11]byte) byte {
	var sum byte
	for _, c := range name {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// longName gathers the slots of a long name, which come last piece first.
type longName struct {
	units [maxLongSlots * longUnits]uint16
	count int // pieces of the whole
	want  int // the piece that comes next; 0: complete, or nothing
	first int // slot
	sum   byte
}

func (l *longName) reset() { l.count, l.want = 0, 0 }

// add takes slot i, a piece of a long name, and starts anew where it does not fit.
func (l *longName) add(p []byte, i int) {
	n := int(p[0] & longOrder)
	if p[0]&longLast != 0 {
		l.reset()
		if n >= 1 && n <= maxLongSlots {
			l.count, l.want, l.first, l.sum = n, n, i, p[longSum]
		}
	}
	if l.want == 0 || n != l.want || p[longSum] != l.sum {
		l.reset()
		return
	}
	l.want--
	for k, at := range longPlaces {
		l.units[l.want*longUnits+k] = le.Uint16(p[at:])
	}
}

// of is the text, when it is complete, belongs to the short name and can be a name.
func (l *longName) of(short [11]byte) (string, bool) {
	if l.count == 0 || l.want != 0 || l.sum != shortSum(short) {
		return "", false
	}
	units := l.units[:l.count*longUnits]
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	if len(units) == 0 || len(units) > maxLong {
		return "", false
	}
	text := decodeUTF16(units)
	return text, text != "." && text != ".." && !strings.Contains(text, "/")
}

// decodeUTF16 makes UTF-8, and keeps halves of pairs in the three bytes that
// UTF-8 would have for them, so that different names stay different.
func decodeUTF16(units []uint16) string {
	p := make([]byte, 0, len(units))
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i+1 < len(units) {
				if pair := utf16.DecodeRune(r, rune(units[i+1])); pair != utf8.RuneError {
					p = utf8.AppendRune(p, pair)
					i++
					continue
				}
			}
			p = append(p, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
			continue
		}
		p = utf8.AppendRune(p, r)
	}
	return string(p)
}

// sameName compares as Linux does by default: without regard to the case of
// ASCII letters.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldByte(a[i]) != foldByte(b[i]) {
			return false
		}
	}
	return true
}

func foldByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// foldName is a name in the form in which equal ones are the same.
func foldName(name string) string {
	p := []byte(name)
	for i, c := range p {
		p[i] = foldByte(c)
	}
	return string(p)
}

// trimDots drops the dots at the end of a name, which count for nothing.
func trimDots(name string) string { return strings.TrimRight(name, ".") }
