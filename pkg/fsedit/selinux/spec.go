package selinux

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// meta are the characters that make libselinux take a specification for an
// expression, and not for the name of one file.
const meta = ".^$?*+|[({"

// spec is one line of file_contexts.
type spec struct {
	file  string
	line  int
	text  string
	kind  filesys.Mode // type bits; 0 is any
	label string

	stem   string // first element, when that has no metacharacter and is not all
	prefix string // what a path that matches begins with
	exact  bool   // nothing in text is a metacharacter
	plain  bool   // prefix is the whole path

	compile sync.Once
	re      *regexp.Regexp // of what follows the stem
	err     error
}

// study finds out what can be known without compiling.
func (s *spec) study() {
	first := strings.IndexAny(s.text, meta)
	s.exact = true
	for i := 0; i < len(s.text); i++ {
		if s.text[i] == '\\' {
			i++
		} else if strings.IndexByte(meta, s.text[i]) >= 0 {
			s.exact = false
			break
		}
	}
	if at := strings.IndexByte(s.text[1:], '/'); at > 0 && (first < 0 || first > at) {
		s.stem = s.text[:at+1]
	}
	s.prefix, s.plain = literal(s.text)
	if !strings.HasPrefix(s.prefix, s.stem) { // an escape in the stem
		s.prefix, s.plain = s.stem, false
	}
}

// literal is what every match of an expression begins with, and whether that is
// all of it. An alternative anywhere may begin otherwise.
func literal(text string) (prefix string, all bool) {
	if strings.IndexByte(text, '|') >= 0 && !alternativesInside(text) {
		return "", false
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && !alphanumeric(text[i+1]):
			i++
			out = append(out, text[i])
		case strings.IndexByte("?*{", c) >= 0 && len(out) > 0: // the one before may be missing
			return string(out[:len(out)-1]), false
		case c == '\\' || c == ')' || strings.IndexByte(meta, c) >= 0:
			return string(out), false
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// alternativesInside reports whether each "|" is in a group or a class. It takes
// for outside what it is not sure of.
func alternativesInside(text string) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			n := classLen(text[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth <= 0 {
				return false
			}
		}
	}
	return true
}

// classLen is the length of the class that text begins with; 0 when that is not
// plain to see.
func classLen(text string) int {
	i := 1
	if strings.HasPrefix(text, "[^") {
		i++
	}
	if i < len(text) && text[i] == ']' {
		i++
	}
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			return 0
		case ']':
			return i + 1
		}
	}
	return 0
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// maxNodes bounds a compiled expression, in instructions; those of real policies
// have some dozens.
const maxNodes = 20000

// nodeCost is what one instruction takes in memory, about, in bytes.
const nodeCost = 100

// expression compiles the specification when it is first needed.
func (c *Contexts) expression(s *spec) (*regexp.Regexp, error) {
	s.compile.Do(func() {
		// PCRE's "$" also matches before a newline at the end.
		text := `(?s)^` + s.text[len(s.stem):] + `\n?\z`
		tree, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			s.err = err
			return
		}
		n := nodes(tree)
		if n > maxNodes || !c.spend(n*nodeCost) {
			s.err = &syntax.Error{Code: syntax.ErrLarge, Expr: s.text}
			return
		}
		s.re, s.err = regexp.Compile(text)
	})
	return s.re, s.err
}

// spend takes from the memory for compiled expressions.
func (c *Contexts) spend(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > c.budget {
		return false
	}
	c.budget -= n
	return true
}

// nodes is about how many instructions a program of the expression has: what is
// repeated is compiled so many times. Above maxNodes it is not exact.
func nodes(e *syntax.Regexp) int64 {
	n := int64(1) + int64(len(e.Rune))/2
	for _, sub := range e.Sub {
		n = min(n+nodes(sub), maxNodes+1)
	}
	if e.Op == syntax.OpRepeat {
		n *= int64(max(e.Min, e.Max, 1))
	}
	return min(n, maxNodes+1)
}
