package grubcfg

import (
	"bytes"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Defaults is a file of shell assignments, such as /etc/default/grub. It is
// not for concurrent use.
type Defaults struct {
	src     []byte
	assigns []assign
}

// Value is what a variable is given.
type Value struct {
	Text    string // without quotes; references as they are: $x, $(command)
	Expands bool   // the shell replaces something in it: Text keeps its escapes
}

// assign is one assignment and its places in the file.
type assign struct {
	key        string
	line       int // where its first line starts
	key0       int
	start, end int // of the value
	value      Value
	raw        string
	alone      bool // nothing else on its lines but blanks and a comment
}

// ParseDefaults reads assignments. Other commands are kept and not looked into.
func ParseDefaults(src []byte, limits ondisk.Limits) (*Defaults, error) {
	if int64(len(src)) > limits.OrDefault().Text {
		return nil, ondisk.At("grub", "defaults", ondisk.NoOffset).TooBig("%d bytes", len(src))
	}
	d := &Defaults{}
	return d, d.parse(bytes.Clone(src))
}

func (d *Defaults) parse(src []byte) error {
	s := shellLexer{src: src}
	var assigns []assign
	fresh := true // no command in this statement yet
	first := true // nothing on this line yet
	line := 0
	for s.pos < len(src) {
		start := s.pos
		c := src[s.pos]
		if more := s.skip(); more {
			if c == '\n' {
				line, first = s.pos, true
			}
			if strings.IndexByte("\n;&|<>()", c) >= 0 {
				if c != '\n' && len(assigns) > 0 && assigns[len(assigns)-1].line == line {
					assigns[len(assigns)-1].alone = false
				}
				fresh = true
				first = first && c == '\n'
			}
			continue
		}
		if err := s.word(); err != nil {
			return err
		}
		word := string(src[start:s.pos])
		a, ok := assignment(word)
		if fresh && ok {
			a.line, a.key0, a.end, a.alone = line, start, s.pos, first
			a.start = start + len(word) - len(a.raw)
			assigns = append(assigns, a)
		} else if n := len(assigns); n > 0 && !first && assigns[n-1].line == line {
			assigns[n-1].alone = false
		}
		fresh = fresh && (ok || word == "export")
		first = first && word == "export"
	}
	d.src, d.assigns = src, assigns
	return nil
}

// assignment splits NAME=value.
func assignment(word string) (assign, bool) {
	key, raw, ok := strings.Cut(word, "=")
	if !ok || !isName(key) {
		return assign{}, false
	}
	return assign{key: key, raw: raw, value: decode(raw)}, true
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// Keys are the variables, each once, in the order of the file.
func (d *Defaults) Keys() (keys []string) {
	for _, a := range d.assigns {
		if !slices.Contains(keys, a.key) {
			keys = append(keys, a.key)
		}
	}
	return keys
}

// Get is the value that the last assignment gives.
func (d *Defaults) Get(key string) (Value, bool) {
	for _, a := range slices.Backward(d.assigns) {
		if a.key == key {
			return a.value, true
		}
	}
	return Value{}, false
}

// Set makes the last assignment give a value, or appends one.
func (d *Defaults) Set(key string, v Value) error {
	for i, a := range slices.Backward(d.assigns) {
		if a.key == key {
			return d.splice(d.assigns[i], v)
		}
	}
	if !isName(key) {
		return ondisk.At("grub", "defaults", ondisk.NoOffset).In("%s", key).Unsupported("no name of a variable")
	}
	src := bytes.Clone(d.src)
	if len(src) > 0 && src[len(src)-1] != '\n' {
		src = append(src, '\n')
	}
	return d.parse(append(src, key+"="+encode(v, '"')+"\n"...))
}

// Rewrite gives every assignment of a variable the value that f makes of its
// own: of several the later may build on the earlier.
func (d *Defaults) Rewrite(key string, f func(Value) Value) error {
	for i := range d.assigns {
		if a := d.assigns[i]; a.key == key {
			if err := d.splice(a, f(a.value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// splice puts a value into the place of an assignment's, in its quotes.
func (d *Defaults) splice(a assign, v Value) error {
	if a.value == v {
		return nil
	}
	return d.parse(slices.Concat(d.src[:a.start], []byte(encode(v, quoteOf(a.raw))), d.src[a.end:]))
}

// CommentOut turns every assignment of a variable into comments and returns how
// many there were. One that shares its line with another command is
// ondisk.ErrUnsupported.
func (d *Defaults) CommentOut(key string) (n int, err error) {
	for i := len(d.assigns) - 1; i >= 0; i-- {
		a := d.assigns[i]
		if a.key != key {
			continue
		}
		if !a.alone {
			return n, ondisk.At("grub", "defaults", int64(a.key0)).In("%s", key).Unsupported("shares its line with another command")
		}
		text := "#" + strings.ReplaceAll(string(d.src[a.line:a.end]), "\n", "\n#")
		if err := d.parse(slices.Concat(d.src[:a.line], []byte(text), d.src[a.end:])); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Bytes is the file with all edits.
func (d *Defaults) Bytes() []byte { return bytes.Clone(d.src) }
