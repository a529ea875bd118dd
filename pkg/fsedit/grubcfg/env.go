package grubcfg

import (
	"bytes"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	envHeader = "# GRUB Environment Block\n"
	// EnvSize is the length of an environment block in bytes. GRUB writes it in
	// place, where it lies on the disk: it must keep its length.
	EnvSize = 1024
)

// Env is an environment block. A nil *Env is an empty one that only reads. It
// is not for concurrent use while it is changed.
type Env struct {
	lines []string // raw, with their ends; padding is not among them
	size  int
}

// NewEnv is an empty block of [EnvSize] bytes.
func NewEnv() *Env { return &Env{lines: []string{envHeader}, size: EnvSize} }

// ParseEnv reads a block. Its length is kept, whatever it is.
func ParseEnv(data []byte) (*Env, error) {
	at := ondisk.At("grub", "environment block", 0)
	if !bytes.HasPrefix(data, []byte(envHeader)) {
		return nil, at.Format("no header")
	}
	if len(data) > 64<<10 {
		return nil, at.TooBig("%d bytes", len(data))
	}
	text := strings.TrimRight(string(data), "#")
	e := &Env{size: len(data)}
	for text != "" {
		n, _ := lineLength(text)
		e.lines = append(e.lines, text[:n])
		text = text[n:]
	}
	return e, nil
}

// lineLength counts to the newline that no backslash escapes, if there is one.
func lineLength(text string) (n int, ended bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\n':
			return i + 1, true
		}
	}
	return len(text), false
}

// Get is the value of a variable.
func (e *Env) Get(name string) (value string, ok bool) {
	if i := e.find(name); i >= 0 {
		_, raw, _ := strings.Cut(strings.TrimSuffix(e.lines[i], "\n"), "=")
		return unescape(raw), true
	}
	return "", false
}

// Names are those of all variables, in the order of the block.
func (e *Env) Names() (names []string) {
	if e == nil {
		return nil
	}
	for _, line := range e.lines {
		if name, _, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			names = append(names, name)
		}
	}
	return names
}

func (e *Env) find(name string) int {
	if e == nil {
		return -1
	}
	for i, line := range e.lines {
		if strings.HasPrefix(line, name+"=") && line[0] != '#' {
			return i
		}
	}
	return -1
}

// Set gives a variable a value. A block that is full is ondisk.ErrNoSpace and
// stays as it was.
func (e *Env) Set(name, value string) error {
	at := ondisk.At("grub", "environment block", 0).In("%s", name)
	if name == "" || strings.ContainsAny(name, "=\n\\#") || strings.IndexByte(value, 0) >= 0 {
		return at.Unsupported("cannot be a variable")
	}
	line := name + "=" + escape(value) + "\n"
	i := e.find(name)
	room := e.size - len(line)
	for k, other := range e.lines {
		if k != i {
			room -= len(other)
		}
	}
	if room < 0 {
		return at.NoSpace("%d bytes more than the block's %d", -room, e.size)
	}
	if i >= 0 {
		e.lines[i] = line
		return nil
	}
	if _, ended := lineLength(e.lines[len(e.lines)-1]); !ended {
		return at.Corrupt("text without an end behind the variables")
	}
	e.lines = append(e.lines, line)
	return nil
}

// Unset removes a variable, if it is there.
func (e *Env) Unset(name string) {
	if i := e.find(name); i >= 0 {
		e.lines = append(e.lines[:i], e.lines[i+1:]...)
	}
}

// Bytes is the block, as long as it was.
func (e *Env) Bytes() []byte {
	out := make([]byte, 0, e.size)
	for _, line := range e.lines {
		out = append(out, line...)
	}
	return append(out, strings.Repeat("#", e.size-len(out))...)
}

func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", "\\\n").Replace(s)
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
