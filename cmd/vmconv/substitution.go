package main

import (
	"bytes"
	"regexp"
	"strings"
)

// substitution is one s/RE/NEW/flags, applied line by line as sed does. RE is in
// Go's syntax (RE2), NEW may use & and \1 to \9.
type substitution struct {
	re     *regexp.Regexp
	to     []byte // in the syntax of regexp.Expand
	global bool
}

func parseSubstitution(text string) (substitution, error) {
	if len(text) < 4 || text[0] != 's' {
		return substitution{}, usagef("-e takes s/RE/NEW/[gi], not %q", text)
	}
	sep := text[1]
	parts := splitUnescaped(text[2:], sep)
	if len(parts) != 3 || sep == '\\' || sep == '\n' {
		return substitution{}, usagef("-e takes s%cRE%cNEW%c[gi], not %q", sep, sep, sep, text)
	}
	s := substitution{to: []byte(expandSyntax(parts[1]))}
	pattern := parts[0]
	for _, flag := range parts[2] {
		switch flag {
		case 'g':
			s.global = true
		case 'i', 'I':
			pattern = "(?i)" + pattern
		default:
			return substitution{}, usagef("-e %q: unknown flag %q", text, flag)
		}
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return substitution{}, usagef("-e %q: %v", text, err)
	}
	s.re = re
	return s, nil
}

// splitUnescaped splits at sep; "\sep" stands for the separator itself.
func splitUnescaped(text string, sep byte) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == sep:
			b.WriteByte(sep)
			i++
		case text[i] == '\\' && i+1 < len(text):
			b.WriteByte(text[i])
			i++
			b.WriteByte(text[i])
		case text[i] == sep:
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	return append(parts, b.String())
}

// expandSyntax turns sed's & and \1 into ${0} and ${1}.
func expandSyntax(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '&':
			b.WriteString("${0}")
		case c == '$':
			b.WriteString("$$")
		case c == '\\' && i+1 < len(text):
			i++
			switch n := text[i]; {
			case n >= '0' && n <= '9':
				b.WriteString("${" + string(n) + "}")
			case n == 'n':
				b.WriteByte('\n')
			case n == 't':
				b.WriteByte('\t')
			case n == '$':
				b.WriteString("$$")
			default:
				b.WriteByte(n)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (s substitution) apply(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		body := bytes.TrimSuffix(line, []byte("\n"))
		out = append(out, s.line(body)...)
		out = append(out, line[len(body):]...)
	}
	return out
}

func (s substitution) line(line []byte) []byte {
	n := 1
	if s.global {
		n = -1
	}
	var out []byte
	at := 0
	for _, m := range s.re.FindAllSubmatchIndex(line, n) {
		out = append(out, line[at:m[0]]...)
		out = s.re.Expand(out, s.to, line, m)
		at = m[1]
	}
	return append(out, line[at:]...)
}
