package vmdef

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dictionary is the content of a VMX file by lower-case key. The last of several
// lines with one key counts, as it does for VMware.
type dictionary map[string]string

// parseDictionary reads lines of key = "value". The value may stand without
// quotes; |XX is a byte of it. The key .encoding names the encoding of all values.
func parseDictionary(data []byte, warn *warnings) (dictionary, error) {
	d := dictionary{}
	for i, line := range strings.Split(string(unmark(data)), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := ondisk.At("vmx", fmt.Sprintf("line %d", i+1), ondisk.NoOffset)
		key, value, ok := strings.Cut(line, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" {
			return nil, at.Corrupt("not of the form key = \"value\": %s", short(line))
		}
		value = strings.TrimSpace(value)
		if after, quoted := strings.CutPrefix(value, `"`); quoted {
			inside, rest, closed := strings.Cut(after, `"`)
			rest = strings.TrimSpace(rest)
			if !closed || rest != "" && rest[0] != '#' {
				return nil, at.Corrupt("the quotes of %s do not match", short(key))
			}
			value = inside
		}
		d[key] = unescapeVMX(value)
	}
	d.decode(warn)
	return d, nil
}

// unescapeVMX replaces |XX by the byte of that value; any other bar is itself.
func unescapeVMX(s string) string {
	if !strings.Contains(s, "|") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '|' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// decode turns the values into UTF-8.
func (d dictionary) decode(warn *warnings) {
	encoding, failed := d[".encoding"], false
	for key, value := range d {
		text, ok := decodeText(value, encoding)
		d[key] = text
		failed = failed || !ok
	}
	if failed {
		warn.add("names are in the encoding %s, which is not known; some may be wrong", short(encoding))
	}
}

// yes reports whether a setting is on; one that is absent is not.
func (d dictionary) yes(key string) bool {
	switch strings.ToLower(d[key]) {
	case "true", "yes", "on", "1", "t", "y":
		return true
	}
	return false
}

// number is a setting from 0 to max, or 0.
func (d dictionary) number(key string, max int, warn *warnings) int {
	value := strings.TrimSpace(d[key])
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > max {
		warn.add("%s of %s is not understood", key, short(value))
		return 0
	}
	return n
}
