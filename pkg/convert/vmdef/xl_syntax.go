package vmdef

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// xlValue is a literal: text (a string, or a number as it was written) or a list.
type xlValue struct {
	text   string
	list   []xlValue
	isList bool
	line   int
}

// xlSetting is one assignment.
type xlSetting struct {
	name  string
	value xlValue
}

// xlParser reads the grammar of xl.cfg(5): assignments of strings, numbers and
// lists. The files of the older xm are programs in Python; what they need beyond
// that grammar is refused, and nothing is ever evaluated.
type xlParser struct {
	data  []byte
	pos   int
	line  int
	depth int // of lists that may still be opened
	count int // values so far
}

// parseXLSettings returns the settings in the order of the file.
func parseXLSettings(data []byte, limits ondisk.Limits) ([]xlSetting, error) {
	p := &xlParser{data: data, line: 1, depth: limits.Chain}
	var list []xlSetting
	last := map[string]int{} // index of the last setting of a name
	for {
		p.blanks(true)
		if p.pos == len(p.data) {
			return list, nil
		}
		s, appends, err := p.setting()
		if err != nil {
			return nil, err
		}
		at, set := last[s.name]
		if !appends {
			last[s.name] = len(list)
			list = append(list, s)
			continue
		}
		var old *xlValue
		if set {
			old = &list[at].value
		}
		if err := p.appendTo(old, s); err != nil {
			return nil, err
		}
	}
}

func (p *xlParser) at() ondisk.Place {
	return ondisk.At("xl", fmt.Sprintf("line %d", p.line), ondisk.NoOffset)
}

// blanks skips blanks and comments, and the ends of statements too when lines is
// set: newlines and semicolons.
func (p *xlParser) blanks(lines bool) {
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c == '#':
			for p.pos < len(p.data) && p.data[p.pos] != '\n' {
				p.pos++
			}
			continue
		case c == '\n' && lines:
			p.line++
		case c == ' ', c == '\t', c == '\r', c == ';' && lines:
		default:
			return
		}
		p.pos++
	}
}

// peek is the next byte, or 0 at the end.
func (p *xlParser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *xlParser) word() string {
	start := p.pos
	for isWordByte(p.peek()) {
		p.pos++
	}
	return string(p.data[start:p.pos])
}

// setting reads one assignment to its end, and whether it appends.
func (p *xlParser) setting() (xlSetting, bool, error) {
	s := xlSetting{name: p.word()}
	if s.name == "" || s.name[0] >= '0' && s.name[0] <= '9' {
		return s, false, p.at().Corrupt("no setting begins with %s", short(string(p.data[p.pos:min(p.pos+20, len(p.data))])))
	}
	p.blanks(false)
	appends := strings.HasPrefix(string(p.data[p.pos:min(p.pos+2, len(p.data))]), "+=")
	if appends {
		p.pos++
	}
	if p.peek() != '=' {
		return s, false, p.at().Unsupported("%s is no assignment of a literal; programs are not run", short(s.name))
	}
	p.pos++
	p.blanks(false)
	var err error
	if s.value, err = p.value(); err != nil {
		return s, false, err
	}
	p.blanks(false)
	if c := p.peek(); c != 0 && c != '\n' && c != ';' || c == 0 && p.pos < len(p.data) {
		return s, false, p.at().Unsupported("%s is more than a literal; expressions are not evaluated", short(s.name))
	}
	return s, appends, nil
}

// appendTo adds to a list. It takes no strings: joining them is an expression.
func (p *xlParser) appendTo(old *xlValue, s xlSetting) error {
	if old == nil || !old.isList || !s.value.isList {
		return p.at().Unsupported("%s: only a list can be appended to a list", short(s.name))
	}
	old.list = append(old.list, s.value.list...)
	return nil
}

func (p *xlParser) value() (xlValue, error) {
	if p.count++; p.count > maxNodes {
		return xlValue{}, p.at().TooBig("more than %d values", maxNodes)
	}
	switch c := p.peek(); {
	case c == '[':
		return p.list()
	case c == '"' || c == '\'':
		return p.quoted()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	return xlValue{}, p.at().Unsupported("%s is no literal; expressions are not evaluated", short(string(p.data[p.pos:min(p.pos+20, len(p.data))])))
}

func (p *xlParser) number() (xlValue, error) {
	v := xlValue{line: p.line}
	if p.peek() == '-' {
		v.text = "-"
		p.pos++
	}
	v.text += p.word()
	n, err := strconv.ParseInt(v.text, 0, 64) // 0x and 0 prefixes as in C
	if err != nil {
		return v, p.at().Corrupt("%s is no number", short(v.text))
	}
	v.text = strconv.FormatInt(n, 10)
	return v, nil
}

func (p *xlParser) list() (xlValue, error) {
	v := xlValue{isList: true, line: p.line}
	if p.depth--; p.depth < 0 {
		return v, p.at().TooBig("lists nest too deep")
	}
	defer func() { p.depth++ }()
	p.pos++
	for {
		p.blanks(true)
		if p.peek() == ']' {
			p.pos++
			return v, nil
		}
		e, err := p.value()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
		p.blanks(true)
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
		default:
			return v, p.at().Corrupt("a list goes on with %s", short(string(p.data[p.pos:min(p.pos+20, len(p.data))])))
		}
	}
}

// xlEscapes are the escapes of one letter.
var xlEscapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\', '\'': '\'', '"': '"',
}

func (p *xlParser) quoted() (xlValue, error) {
	v, quote := xlValue{line: p.line}, p.peek()
	var b strings.Builder
	for p.pos++; p.peek() != quote || p.pos == len(p.data); p.pos++ {
		if p.pos == len(p.data) || p.peek() == '\n' {
			return v, p.at().Corrupt("a string does not end")
		}
		if p.peek() != '\\' {
			b.WriteByte(p.peek())
			continue
		}
		p.pos++
		c, known := xlEscapes[p.peek()]
		switch {
		case known:
		case p.peek() == 'x' && p.pos+2 < len(p.data):
			n, err := strconv.ParseUint(string(p.data[p.pos+1:p.pos+3]), 16, 8)
			if err != nil {
				return v, p.at().Corrupt("an escape in a string is not known")
			}
			c = byte(n)
			p.pos += 2
		default:
			return v, p.at().Corrupt("an escape in a string is not known")
		}
		b.WriteByte(c)
	}
	p.pos++
	v.text = b.String()
	if p.peek() == quote {
		return v, p.at().Unsupported("two strings in a row, or one in triple quotes")
	}
	return v, nil
}
