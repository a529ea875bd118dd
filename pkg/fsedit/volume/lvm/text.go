package lvm

import (
	"strconv"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Bounds of a text: real ones nest four deep and have some ten values a segment.
const (
	maxTextDepth  = 16
	maxTextValues = 1 << 18 // names, and elements of lists
)

// section is a block of the text: values and sections by name.
type section struct {
	values   map[string]value
	sections map[string]*section
	order    []string // names of sections as they come
}

// value is a number, a string or a list of them.
type value struct {
	text   string // of a string, or the number as it is written
	quoted bool
	list   []value // of a list, which may be empty
	isList bool
}

func newSection() *section {
	return &section{values: map[string]value{}, sections: map[string]*section{}}
}

// number is the named whole number, or -1 where there is none that fits.
func (s *section) number(name string) int64 {
	n, err := strconv.ParseInt(s.values[name].text, 0, 64)
	if err != nil || n < 0 || s.values[name].quoted {
		return -1
	}
	return n
}

// numberOr is the named number, or what stands for it when it is not there.
func (s *section) numberOr(name string, absent int64) int64 {
	if _, ok := s.values[name]; !ok {
		return absent
	}
	return s.number(name)
}

func (s *section) string(name string) string { return s.values[name].text }

// flags reports whether a list of strings, as status is, has a word.
func (s *section) flag(list, word string) bool {
	for _, v := range s.values[list].list {
		if v.text == word {
			return true
		}
	}
	return false
}

// child is the named section; an empty one when there is none.
func (s *section) child(name string) *section {
	if c := s.sections[name]; c != nil {
		return c
	}
	return newSection()
}

// parser reads the grammar of lvm.conf, which the metadata has too:
//
//	section = { name "=" value | name "{" section "}" }
//	value   = number | string | "[" [ value { "," value } ] "]"
type parser struct {
	text   []byte
	pos    int
	values int
}

// parseText parses a text; memory is bounded by its length and by [maxTextValues].
func parseText(text []byte) (*section, error) {
	p := parser{text: text}
	s := newSection()
	if err := p.fill(s, 0); err != nil {
		return nil, err
	}
	return s, nil
}

func (p *parser) place() ondisk.Place {
	return ondisk.At("lvm", "metadata text", ondisk.NoOffset).In("byte %d", p.pos)
}

// fill reads a section up to its end: the closing brace, or that of the text.
func (p *parser) fill(s *section, depth int) error {
	for {
		switch c := p.peek(); {
		case c == 0 && depth == 0:
			return nil
		case c == '}' && depth > 0:
			p.pos++
			return nil
		}
		name := p.word()
		if name == "" {
			return p.place().Corrupt("a name is wanted")
		}
		if err := p.count(); err != nil {
			return err
		}
		if err := p.named(s, name, depth); err != nil {
			return err
		}
	}
}

// named reads what follows a name.
func (p *parser) named(s *section, name string, depth int) error {
	switch p.peek() {
	case '{':
		p.pos++
		if depth >= maxTextDepth {
			return p.place().TooBig("sections nest more than %d deep", maxTextDepth)
		}
		if s.sections[name] != nil {
			return p.place().Corrupt("there are two sections %q", name)
		}
		c := newSection()
		s.sections[name] = c
		s.order = append(s.order, name)
		return p.fill(c, depth+1)
	case '=':
		p.pos++
		v, err := p.value()
		s.values[name] = v
		return err
	}
	return p.place().Corrupt("%q is neither a value nor a section", name)
}

func (p *parser) count() error {
	if p.values++; p.values > maxTextValues {
		return p.place().TooBig("more than %d values", maxTextValues)
	}
	return nil
}

// value reads a value. Lists do not nest.
func (p *parser) value() (value, error) {
	if p.peek() != '[' {
		return p.scalar()
	}
	p.pos++
	v := value{isList: true}
	for p.peek() != ']' {
		if err := p.count(); err != nil {
			return v, err
		}
		e, err := p.scalar()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
		if p.peek() == ',' {
			p.pos++
		} else if p.peek() != ']' {
			return v, p.place().Corrupt("the list does not end")
		}
	}
	p.pos++
	return v, nil
}

func (p *parser) scalar() (value, error) {
	if p.peek() == '"' {
		return p.quoted()
	}
	if w := p.word(); w != "" {
		return value{text: w}, nil
	}
	return value{}, p.place().Corrupt("a value is wanted")
}

// quoted reads a string, in which a backslash takes the next byte as it is.
func (p *parser) quoted() (value, error) {
	var out []byte
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == '"':
			p.pos++
			return value{text: string(out), quoted: true}, nil
		case c == '\\' && p.pos+1 < len(p.text):
			p.pos++
			out = append(out, p.text[p.pos])
		default:
			out = append(out, c)
		}
	}
	return value{}, p.place().Corrupt("a string does not end")
}

// word reads a name or a number.
func (p *parser) word() string {
	p.peek()
	from := p.pos
	for p.pos < len(p.text) && isWord(p.text[p.pos]) {
		p.pos++
	}
	return string(p.text[from:p.pos])
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '-' || c == '.' || c == '+' || c == '/' || c == '@' || c == ':'
}

// peek is the next byte behind blanks and comments, or 0 at the end of the text,
// which a NUL is too.
func (p *parser) peek() byte {
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\n', '\r':
		case '#':
			for p.pos+1 < len(p.text) && p.text[p.pos+1] != '\n' {
				p.pos++
			}
		default:
			return c
		}
	}
	return 0
}
