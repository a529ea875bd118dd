package grubcfg

import (
	"bytes"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// shellLexer knows as much of the shell's words (POSIX, Shell Command Language,
// 2.2 and 2.3) as their ends need.
type shellLexer struct {
	src []byte
	pos int
}

// skip passes one blank, separator, comment or continued line; it is false
// before a word.
func (s *shellLexer) skip() bool {
	switch c := s.src[s.pos]; {
	case strings.IndexByte(" \t\r\n;&|<>()", c) >= 0:
		s.pos++
	case c == '\\' && s.pos+1 < len(s.src) && s.src[s.pos+1] == '\n':
		s.pos += 2
	case c == '#':
		if n := bytes.IndexByte(s.src[s.pos:], '\n'); n >= 0 {
			s.pos += n
		} else {
			s.pos = len(s.src)
		}
	default:
		return false
	}
	return true
}

// word passes one word.
func (s *shellLexer) word() error {
	start := s.pos
	ok := true
	for ok && s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case strings.IndexByte(" \t\r\n;&|<>()", c) >= 0:
			return nil
		case c == '\'':
			s.pos++
			ok = s.until('\'')
		case c == '"':
			s.pos++
			ok = s.double()
		default:
			ok = s.plain()
		}
	}
	if !ok {
		line := 1 + bytes.Count(s.src[:start], []byte{'\n'})
		return ondisk.At("grub", "defaults", ondisk.NoOffset).In("line %d", line).Corrupt("a quote is not closed")
	}
	return nil
}

// plain passes a character, an escaped one, or what the shell replaces.
func (s *shellLexer) plain() bool {
	c := s.src[s.pos]
	s.pos++
	switch {
	case c == '\\':
		s.pos = min(s.pos+1, len(s.src))
	case c == '`':
		return s.until('`')
	case c == '$' && s.pos < len(s.src) && s.src[s.pos] == '(':
		return s.nested('(', ')')
	case c == '$' && s.pos < len(s.src) && s.src[s.pos] == '{':
		return s.nested('{', '}')
	}
	return true
}

func (s *shellLexer) double() bool {
	for s.pos < len(s.src) {
		if s.src[s.pos] == '"' {
			s.pos++
			return true
		}
		if !s.plain() {
			return false
		}
	}
	return false
}

// until passes all to a character and it.
func (s *shellLexer) until(end byte) bool {
	n := bytes.IndexByte(s.src[s.pos:], end)
	if n < 0 {
		return false
	}
	s.pos += n + 1
	return true
}

// nested passes a pair of brackets with what is between them; quotes inside
// hide brackets.
func (s *shellLexer) nested(open, end byte) bool {
	for depth := 0; s.pos < len(s.src); {
		c := s.src[s.pos]
		s.pos++
		switch c {
		case open:
			depth++
		case end:
			if depth--; depth == 0 {
				return true
			}
		case '\\':
			s.pos = min(s.pos+1, len(s.src))
		case '\'':
			if !s.until('\'') {
				return false
			}
		}
	}
	return false
}

// decode takes the quotes off a word.
func decode(raw string) Value {
	var v Value
	s := shellLexer{src: []byte(raw)}
	var text []byte
	inside := false
	for s.pos < len(raw) {
		start := s.pos
		switch c := raw[s.pos]; {
		case c == '"':
			inside = !inside
			s.pos++
		case c == '\'' && !inside:
			s.pos++
			s.until('\'')
			text = append(text, raw[start+1:s.pos-1]...)
		default:
			s.plain()
			if (c == '$' && s.pos < len(raw) && raw[s.pos] != '"') || c == '`' {
				v.Expands = true
			}
			text = append(text, unescapeShell(raw[start:s.pos], inside)...)
		}
	}
	v.Text = string(text)
	if v.Expands {
		v.Text = keepEscapes(raw)
	}
	return v
}

// unescapeShell is what one piece stands for; within double quotes only some
// characters can be escaped.
func unescapeShell(piece string, inside bool) string {
	switch {
	case len(piece) != 2 || piece[0] != '\\':
		return piece
	case piece[1] == '\n':
		return ""
	case inside && strings.IndexByte("$`\"\\", piece[1]) < 0:
		return piece
	}
	return piece[1:]
}

// keepEscapes is the inside of a word of which the shell replaces parts: as it
// stands, if one pair of double quotes or none is around it.
func keepEscapes(raw string) string {
	if len(raw) >= 2 && raw[0] == '"' && raw[len(raw)-1] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}

// quoteOf is the quote that a value begins with, or 0.
func quoteOf(raw string) byte {
	switch {
	case raw == "" || raw[0] == '"':
		return '"'
	case raw[0] == '\'':
		return '\''
	}
	return 0
}

// encode puts a value into the quotes that stood there, or none for 0, if they
// can hold it, and else into double ones.
func encode(v Value, quote byte) string {
	switch {
	case v.Expands:
		return `"` + v.Text + `"`
	case quote == '\'' && strings.IndexByte(v.Text, '\'') < 0:
		return "'" + v.Text + "'"
	case quote == 0 && v.Text != "" && !strings.ContainsAny(v.Text, " \t\r\n'\"\\$`;&|<>()#*?[]~{}!"):
		return v.Text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(v.Text) + `"`
}
