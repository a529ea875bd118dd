package cmdline

import "strings"

// Word is one parameter.
type Word struct {
	Raw      string // as it stands in the line
	Key      string // without quotes
	Value    string // without quotes; empty without "="
	HasValue bool   // there is a "="
}

// Is reports whether the word has the key; "-" and "_" are the same.
func (w Word) Is(key string) bool { return fold(w.Key) == fold(key) }

func fold(s string) string { return strings.ReplaceAll(s, "-", "_") }

// Line is a command line. The zero value is an empty one. It is not for
// concurrent use.
type Line struct {
	parts []part
	tail  string // blanks behind the last word
}

// part is a word with the blanks before it.
type part struct {
	gap  string
	word Word
}

// Parse splits a line. Any text is a command line.
func Parse(s string) *Line {
	l := &Line{}
	for {
		gap := len(s) - len(strings.TrimLeft(s, blanks))
		if gap == len(s) {
			l.tail = s
			return l
		}
		n := gap + wordLength(s[gap:])
		l.parts = append(l.parts, part{s[:gap], parseWord(s[gap:n])})
		s = s[n:]
	}
}

// blanks are what the kernel's isspace says of ASCII and Latin-1.
const blanks = " \t\n\v\f\r"

func wordLength(s string) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(blanks, s[i]) >= 0:
			return i
		}
	}
	return len(s)
}

func parseWord(raw string) Word {
	w := Word{Raw: raw}
	text, whole := strings.CutPrefix(raw, `"`)
	if whole {
		text = strings.TrimSuffix(text, `"`)
	}
	w.Key, w.Value, w.HasValue = strings.Cut(text, "=")
	if value, quoted := strings.CutPrefix(w.Value, `"`); quoted {
		w.Value = strings.TrimSuffix(value, `"`)
	}
	return w
}

// String is the line with all edits; without any, the bytes that were parsed.
func (l *Line) String() string {
	var b strings.Builder
	for _, p := range l.parts {
		b.WriteString(p.gap)
		b.WriteString(p.word.Raw)
	}
	b.WriteString(l.tail)
	return b.String()
}

// Words are the kernel's own parameters, those before "--".
func (l *Line) Words() []Word {
	words := make([]Word, l.end())
	for i := range words {
		words[i] = l.parts[i].word
	}
	return words
}

// Raw are all words as they stand in the line, "--" and what follows included.
func (l *Line) Raw() []string {
	all := make([]string, len(l.parts))
	for i, p := range l.parts {
		all[i] = p.word.Raw
	}
	return all
}

// end is the number of words before "--".
func (l *Line) end() int {
	for i, p := range l.parts {
		if p.word.Raw == "--" {
			return i
		}
	}
	return len(l.parts)
}

// Last is the value of the last word with the key, the one that counts.
func (l *Line) Last(key string) (value string, ok bool) {
	for _, w := range l.Words() {
		if w.Is(key) {
			value, ok = w.Value, true
		}
	}
	return value, ok
}

// Values are those of all words with the key, in order.
func (l *Line) Values(key string) (all []string) {
	for _, w := range l.Words() {
		if w.Is(key) {
			all = append(all, w.Value)
		}
	}
	return all
}

// Set gives the last word with the key another value, or appends one. A word
// that has the value already is left as it is.
func (l *Line) Set(key, value string) {
	for i := l.end() - 1; i >= 0; i-- {
		if w := &l.parts[i].word; w.Is(key) {
			if w.Value != value || !w.HasValue {
				*w = parseWord(w.Key + "=" + Quote(value))
			}
			return
		}
	}
	l.Append(key + "=" + Quote(value))
}

// Remove takes out every word with the key and returns how many there were.
func (l *Line) Remove(key string) int {
	n := 0
	l.Edit(func(w Word) []string {
		if w.Is(key) {
			n++
			return nil
		}
		return []string{w.Raw}
	})
	return n
}

// Append adds a word, which must be quoted already, behind the others and
// before "--".
func (l *Line) Append(raw string) {
	at := l.end()
	gap := " "
	if at == 0 {
		gap = ""
	}
	l.parts = append(l.parts, part{})
	copy(l.parts[at+1:], l.parts[at:])
	l.parts[at] = part{gap, parseWord(raw)}
	if at == 0 && len(l.parts) > 1 && l.parts[1].gap == "" {
		l.parts[1].gap = " "
	}
}

// Edit replaces each word by the raw words that f returns: none removes it,
// the word's own Raw keeps it.
func (l *Line) Edit(f func(Word) []string) {
	var out []part
	end := l.end()
	for i, p := range l.parts {
		words := []string{p.word.Raw}
		if i < end {
			words = f(p.word)
		}
		for k, raw := range words {
			gap := p.gap
			if k > 0 || gap == "" && len(out) > 0 {
				gap = " "
			}
			if len(out) == 0 {
				gap = l.parts[0].gap
			}
			out = append(out, part{gap, parseWord(raw)})
		}
	}
	l.parts = out
}

// Quote puts a value into quotes if it needs them. The kernel has no way to
// write a quote inside of quotes: a value with both is not representable, and
// loses its quotes.
func Quote(value string) string {
	if !strings.ContainsAny(value, blanks) {
		return value
	}
	return `"` + strings.ReplaceAll(value, `"`, "") + `"`
}
