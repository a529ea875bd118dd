package edit

import (
	"regexp"
	"slices"
	"strings"
)

// lvmFilter is a setting of lvm.conf(5) that takes only devices of some names: the
// first pattern that fits any name of a device decides, and what none fits is
// taken.
type lvmFilter struct {
	patterns []lvmPattern
	from, to int // the bytes between the brackets, or the one string without them
	list     bool
}

// lvmPattern is "a|regex|" or "r|regex|".
type lvmPattern struct {
	text       string // without the quotes
	accept     bool
	regex      *regexp.Regexp // nil when it is not understood
	start, end int            // of the string with its quotes
}

var filterSetting = regexp.MustCompile(`(?m)^[^#\n]*?\b(?:global_)?filter[ \t]*=[ \t]*`)

// lvmFilters are the filters of a configuration.
func lvmFilters(text []byte) []lvmFilter {
	var out []lvmFilter
	done := 0
	for _, at := range filterSetting.FindAllIndex(text, -1) {
		if at[0] < done || at[1] == len(text) || text[at[1]] != '[' && text[at[1]] != '"' {
			continue
		}
		f := lvmFilter{from: at[1], list: text[at[1]] == '['}
		if f.list {
			f.from++
		}
		f.read(text)
		done = f.to
		if len(f.patterns) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// read takes the strings up to the closing bracket; comments may stand between.
func (f *lvmFilter) read(text []byte) {
	for f.to = f.from; f.to < len(text); {
		switch c := text[f.to]; {
		case c == '"':
			end := f.to + 1
			for end < len(text) && text[end] != '"' && text[end] != '\n' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(text) || text[end] == '\n' {
				f.patterns = nil // an open quote: nothing that could be edited
				return
			}
			f.patterns = append(f.patterns, newPattern(string(text[f.to+1:end]), f.to, end+1))
			if f.to = end + 1; !f.list {
				return
			}
		case c == '#' && f.list:
			for f.to < len(text) && text[f.to] != '\n' {
				f.to++
			}
		case c == ']', !f.list && c == '\n':
			return
		default:
			f.to++
		}
	}
}

var lvmBrackets = map[byte]byte{'(': ')', '[': ']', '{': '}'}

func newPattern(text string, start, end int) lvmPattern {
	p := lvmPattern{text: text, start: start, end: end}
	if len(text) < 3 {
		return p
	}
	p.accept = text[0] == 'a'
	last, ok := lvmBrackets[text[1]]
	if !ok {
		last = text[1]
	}
	if i := strings.LastIndexByte(text, last); i > 1 {
		p.regex, _ = regexp.Compile(strings.ReplaceAll(text[2:i], `\\`, `\`))
	}
	return p
}

// accepts reports whether a device with these names is taken; false, false when a
// pattern before the deciding one is not understood.
func (f *lvmFilter) accepts(names []string) (taken, known bool) {
	for _, p := range f.patterns {
		if p.regex == nil {
			return false, false
		}
		if slices.ContainsFunc(names, p.regex.MatchString) {
			return p.accept, true
		}
	}
	return true, true
}

// busName is the part of a pattern that names disks by their bus.
var busName = regexp.MustCompile(`/dev/(?:xvd|sd|hd|vd)`)

// widen returns the filter's text as it has to be for devices, each with its name
// on the target and those that it may have had on the source: patterns of the
// source's bus are repeated for the target's, and where that is not enough the
// device itself comes first. What was there keeps its bytes.
func (f *lvmFilter) widen(text []byte, devices []lvmDevice) string {
	var first []string                         // before all patterns
	after := make([][]string, len(f.patterns)) // behind each
	for i, p := range f.patterns {
		if !busName.MatchString(p.text) {
			continue
		}
		for _, d := range devices {
			other := busName.ReplaceAllString(p.text, "/dev/"+d.prefix)
			if d.prefix != "" && !f.has(other) && !slices.Contains(after[i], other) {
				after[i] = append(after[i], other)
			}
		}
	}
	for _, d := range devices {
		taken, known := f.with(first, after).accepts([]string{d.name})
		if exact := "a|^" + regexp.QuoteMeta(d.name) + "$|"; (!known || !taken && (d.needed || f.took(d))) && !f.has(exact) {
			first = append(first, exact)
		}
	}
	return f.render(text, first, after)
}

func (f *lvmFilter) has(pattern string) bool {
	return slices.ContainsFunc(f.patterns, func(p lvmPattern) bool { return p.text == pattern })
}

// took reports whether the filter took a device on the source, by any of its names.
func (f *lvmFilter) took(d lvmDevice) bool {
	return slices.ContainsFunc(d.before, func(name string) bool {
		taken, known := f.accepts([]string{name})
		return taken || !known
	})
}

// with is the filter with more patterns.
func (f *lvmFilter) with(first []string, after [][]string) *lvmFilter {
	out := &lvmFilter{}
	add := func(texts []string) {
		for _, text := range texts {
			out.patterns = append(out.patterns, newPattern(text, 0, 0))
		}
	}
	add(first)
	for i, p := range f.patterns {
		out.patterns = append(out.patterns, p)
		add(after[i])
	}
	return out
}

// render writes the new patterns between the old ones.
func (f *lvmFilter) render(text []byte, first []string, after [][]string) string {
	var b strings.Builder
	added := len(first)
	for _, p := range first {
		b.WriteString(`"` + p + `", `)
	}
	at := f.patterns[0].start
	for i, p := range f.patterns {
		b.Write(text[at:p.end])
		at = p.end
		for _, other := range after[i] {
			b.WriteString(`, "` + other + `"`)
			added++
		}
	}
	if !f.list && added > 0 {
		return "[ " + b.String() + " ]"
	}
	return b.String()
}
