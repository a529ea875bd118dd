package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/fsedit/journal"
)

const (
	shortTime = "Jan 02 15:04:05"
	isoTime   = "2006-01-02T15:04:05-0700"
	maxHead   = 300 // bytes of a host's or program's name that are shown
)

// logPrinter prints entries in one of journalctl's formats.
type logPrinter struct {
	out    io.Writer
	format string
	boot   journal.ID // of the entry before
	any    bool
}

func (p *logPrinter) entry(e journal.Entry) error {
	fields, _ := e.Fields() // what is torn is left out
	var line []byte
	switch p.format {
	case "json":
		line = jsonLine(e, fields)
	case "cat":
		if message := value(fields, "MESSAGE"); message != nil {
			line = append(bytes.Clone(message), '\n')
		}
	default:
		if p.any && p.boot != e.Boot {
			line = fmt.Appendf(nil, "-- Boot %v --\n", e.Boot)
		}
		p.boot, p.any = e.Boot, true
		form := shortTime
		if p.format == "short-iso" {
			form = isoTime
		}
		line = append(line, shortLine(e, fields, form)...)
	}
	_, err := p.out.Write(line)
	return err
}

// shortLine is the form of classic logs, long messages indented.
func shortLine(e journal.Entry, fields []journal.Field, form string) []byte {
	message := value(fields, "MESSAGE")
	if message == nil {
		return nil
	}
	t := e.Time()
	if n, err := strconv.ParseInt(string(value(fields, "_SOURCE_REALTIME_TIMESTAMP")), 10, 62); err == nil && n > 0 {
		t = time.UnixMicro(n).UTC()
	}
	message = withoutColours(message)
	line := []byte(t.Format(form))
	word := func(before string, after string, names ...string) bool {
		for _, name := range names {
			if v := value(fields, name); len(v) > 0 && len(v) < maxHead && isPrintable(v) {
				line = append(append(append(line, before...), v...), after...)
				return true
			}
		}
		return false
	}
	word(" ", "", "_HOSTNAME")
	nameless := ""
	if !word(" ", "", "SYSLOG_IDENTIFIER", "_COMM") {
		nameless = " unknown"
		line = append(line, nameless...)
	}
	word("[", "]", "_PID", "SYSLOG_PID")
	line = append(line, ": "...)
	if !isPrintable(message) {
		return fmt.Appendf(line, "[%s blob data]\n", blobSize(len(message)))
	}
	// journalctl does not count a name that is not there, and we are compared to it.
	indent := bytes.Repeat([]byte(" "), len(line)-len(nameless))
	for i, text := range bytes.Split(bytes.TrimSuffix(message, []byte("\n")), []byte("\n")) {
		if i > 0 {
			line = append(line, indent...)
		}
		line = append(append(line, text...), '\n')
	}
	return line
}

// colours are what programs write to have their words coloured, and to make links.
var colours = regexp.MustCompile(`\x1b\[[0-9;]*m|\x1b\][ -~]*\x07`)

// withoutColours is a message as it is shown in a line, tabs as spaces.
func withoutColours(p []byte) []byte {
	return bytes.ReplaceAll(colours.ReplaceAll(p, nil), []byte("\t"), []byte("        "))
}

// isPrintable: text in UTF-8, with tabs and new lines and no other controls.
func isPrintable(p []byte) bool {
	return utf8.Valid(p) && !bytes.ContainsFunc(p, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r <= 0x9f
	})
}

// blobSize is a number of bytes as systemd says it.
func blobSize(n int) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	x, i := uint64(n), -1
	rest := uint64(0)
	for x >= 1024 {
		rest, x, i = x%1024, x/1024, i+1
	}
	if tenth := rest * 10 / 1024; tenth > 0 {
		return fmt.Sprintf("%d.%d%c", x, tenth, units[i])
	}
	return fmt.Sprintf("%d%c", x, units[i])
}

// jsonLine is journalctl's object: values are strings, numbers for each byte where
// they are no text, and lists where a field comes again.
func jsonLine(e journal.Entry, fields []journal.Field) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	put := func(v any) {
		enc.Encode(v)
		b.Truncate(b.Len() - 1) // its new line
	}
	b.WriteByte('{')
	for _, f := range [][2]string{
		{"__CURSOR", e.Cursor()},
		{"__REALTIME_TIMESTAMP", strconv.FormatUint(e.Realtime, 10)},
		{"__MONOTONIC_TIMESTAMP", strconv.FormatUint(e.Monotonic, 10)},
		{"_BOOT_ID", e.Boot.String()},
	} {
		put(f[0])
		b.WriteByte(':')
		put(f[1])
		b.WriteByte(',')
	}
	b.Truncate(b.Len() - 1)
	done := map[string]bool{"_BOOT_ID": true}
	for i, f := range fields {
		if done[f.Name] {
			continue
		}
		done[f.Name] = true
		values := []any{jsonValue(f.Value)}
		for _, g := range fields[i+1:] {
			if g.Name == f.Name {
				values = append(values, jsonValue(g.Value))
			}
		}
		b.WriteByte(',')
		put(strings.ToValidUTF8(f.Name, "?"))
		b.WriteByte(':')
		if len(values) == 1 {
			put(values[0])
		} else {
			put(values)
		}
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func jsonValue(p []byte) any {
	if isPrintable(p) {
		return string(p)
	}
	out := make([]int, len(p))
	for i, c := range p {
		out[i] = int(c)
	}
	return out
}
