package selinux

import (
	"iter"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// Match is what the policy says of one path.
type Match struct {
	// Label is empty when the policy has none for the path: the kernel gives a
	// new object the type of its directory then.
	Label string
	// Skipped are specifications that could have said otherwise, had their
	// expressions been understood.
	Skipped []Problem
}

// index sorts the specifications as libselinux does, exact ones last, and lists
// for each first element of a path the ones that can match it.
func (c *Contexts) index(list []*spec) {
	c.byStem = map[string][]int32{}
	for _, exact := range []bool{false, true} {
		for _, s := range list {
			if s.exact == exact {
				c.byStem[s.stem] = append(c.byStem[s.stem], int32(len(c.specs)))
				c.specs = append(c.specs, s)
			}
		}
	}
}

// Lookup finds the label of a path without links, whose object has the type bits
// of mode.
func (c *Contexts) Lookup(path string, mode filesys.Mode) Match {
	key := c.key(path)
	stem := ""
	if at := strings.IndexByte(key[min(1, len(key)):], '/'); at >= 0 {
		stem = key[:at+1]
	}
	var m Match
	text := latin1(key)
	for s := range c.candidates(stem) {
		if s.kind != 0 && s.kind != mode.Type() || !strings.HasPrefix(key, s.prefix) {
			continue
		}
		hit, err := c.matches(s, key, text)
		if err != nil {
			m.Skipped = append(m.Skipped, Problem{s.file, s.line, s.text, err.Error()})
		}
		if hit {
			if s.label != none {
				m.Label = s.label
			}
			return m
		}
	}
	return m
}

// candidates are the specifications that begin with a stem, and those of none,
// the last one first.
func (c *Contexts) candidates(stem string) iter.Seq[*spec] {
	own, any := c.byStem[stem], c.byStem[""]
	if stem == "" {
		own = nil
	}
	return func(yield func(*spec) bool) {
		i, j := len(own)-1, len(any)-1
		for i >= 0 || j >= 0 {
			var next int32
			if j < 0 || i >= 0 && own[i] > any[j] {
				next = own[i]
				i--
			} else {
				next = any[j]
				j--
			}
			if !yield(c.specs[next]) {
				return
			}
		}
	}
}

// matches tries one specification on a path, given as it is and as text.
func (c *Contexts) matches(s *spec, key, text string) (bool, error) {
	if s.plain {
		return key == s.prefix || strings.TrimSuffix(key, "\n") == s.prefix, nil
	}
	re, err := c.expression(s)
	if err != nil {
		return false, err
	}
	return re.MatchString(text[len(s.stem):]), nil
}

// latin1 makes a character of each byte, for expressions are of bytes. What is
// ASCII, as every stem is, keeps its place.
func latin1(s string) string {
	if ascii(s) {
		return s
	}
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}
