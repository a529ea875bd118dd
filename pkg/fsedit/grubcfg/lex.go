package grubcfg

import (
	"bytes"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Word is one word of a command.
type Word struct {
	Raw        string // as it stands in the file
	Text       string // without quotes and escapes; references as they are: ${x}
	Expands    bool   // GRUB replaces a reference in it
	Start, End int    // bytes of the file; both 0 in a word that is not in it
}

// NewWord quotes a text, of which nothing is to be expanded, if it needs it.
func NewWord(text string) Word {
	raw := text
	if text == "" || strings.ContainsAny(text, special) {
		raw = "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return Word{Raw: raw, Text: text}
}

const (
	special = " \t\r\n'\"\\$;{}|&<>#"
	ends    = " \t\r\n;{}|&<>" // of a word without quotes
)

type kind int

const (
	wordToken kind = iota
	endToken       // newline, semicolon or an operator
	openToken
	closeToken
)

type token struct {
	kind kind
	word Word
}

// lexer splits a script. Blanks, comments and continued lines leave no token.
type lexer struct {
	src []byte
	pos int
}

// next is the next token; false at the end of the script.
func (l *lexer) next() (token, bool, error) {
	for l.pos < len(l.src) {
		start := l.pos
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case c == '\\' && l.at(1) == '\n':
			l.pos += 2
		case c == '#':
			if n := bytes.IndexByte(l.src[l.pos:], '\n'); n >= 0 {
				l.pos += n
			} else {
				l.pos = len(l.src)
			}
		case c == '{' || c == '}':
			l.pos++
			kind := openToken
			if c == '}' {
				kind = closeToken
			}
			return token{kind, Word{Start: start, End: l.pos}}, true, nil
		case strings.IndexByte(ends, c) >= 0:
			l.pos++
			return token{endToken, Word{Start: start, End: l.pos}}, true, nil
		default:
			w, err := l.word()
			return token{wordToken, w}, true, err
		}
	}
	return token{}, false, nil
}

func (l *lexer) at(ahead int) byte {
	if l.pos+ahead < len(l.src) {
		return l.src[l.pos+ahead]
	}
	return 0
}

func (l *lexer) word() (Word, error) {
	w := Word{Start: l.pos}
	var text []byte
	for l.pos < len(l.src) && strings.IndexByte(ends, l.src[l.pos]) < 0 {
		switch c := l.src[l.pos]; c {
		case '\'':
			n := bytes.IndexByte(l.src[l.pos+1:], '\'')
			if n < 0 {
				return w, l.unclosed(w.Start)
			}
			text = append(text, l.src[l.pos+1:l.pos+1+n]...)
			l.pos += n + 2
		case '"':
			var err error
			if text, err = l.double(&w, text); err != nil {
				return w, err
			}
		case '\\':
			if next := l.at(1); next != '\n' && l.pos+1 < len(l.src) {
				text = append(text, next)
			}
			l.pos = min(l.pos+2, len(l.src))
		case '$':
			w.Expands = true
			text = append(text, l.reference()...)
		default:
			text = append(text, c)
			l.pos++
		}
	}
	w.End, w.Text, w.Raw = l.pos, string(text), string(l.src[w.Start:l.pos])
	return w, nil
}

// double reads "…", in which a backslash escapes only what is special there.
func (l *lexer) double(w *Word, text []byte) ([]byte, error) {
	for l.pos++; l.pos < len(l.src); {
		switch c := l.src[l.pos]; c {
		case '"':
			l.pos++
			return text, nil
		case '\\':
			next := l.at(1)
			if next != '\n' {
				if next != '"' && next != '$' && next != '\\' {
					text = append(text, c)
				}
				if l.pos+1 < len(l.src) {
					text = append(text, next)
				}
			}
			l.pos = min(l.pos+2, len(l.src))
		case '$':
			w.Expands = true
			text = append(text, l.reference()...)
		default:
			text = append(text, c)
			l.pos++
		}
	}
	return text, l.unclosed(w.Start)
}

// reference reads "$" and, in braces, the name behind it. Braces around anything
// but a name are no reference, wherever they end.
func (l *lexer) reference() []byte {
	start := l.pos
	l.pos++
	if l.at(0) == '{' {
		n := 1
		for isNameByte(l.at(n)) {
			n++
		}
		if n > 1 && l.at(n) == '}' {
			l.pos += n + 1
		}
	}
	return l.src[start:l.pos]
}

// isNameByte is about names of variables, the special ones included.
func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c != 0 && strings.IndexByte("?@#*", c) >= 0
}

func (l *lexer) unclosed(start int) error {
	line := 1 + bytes.Count(l.src[:start], []byte{'\n'})
	return ondisk.At("grub", "script", ondisk.NoOffset).In("line %d", line).Corrupt("a quote is not closed")
}
