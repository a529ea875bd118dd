package pax

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// record is a line of an extended header. Values are bytes, newlines included.
type record struct{ key, value string }

// appendRecord adds "LENGTH KEY=VALUE\n", whose length counts its own digits.
func appendRecord(dst []byte, key, value string) []byte {
	rest := len(key) + len(value) + 3 // " ", "=", "\n"
	n := rest + len(strconv.Itoa(rest))
	if total := rest + len(strconv.Itoa(n)); total > n {
		n = total
	}
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(append(append(dst, ' '), key...), '=')
	return append(append(dst, value...), '\n')
}

// parseRecords reads an extended header.
func parseRecords(p []byte) ([]record, error) {
	var out []record
	for len(p) > 0 && p[0] != 0 { // some writers pad with zeros
		space := bytes.IndexByte(p, ' ')
		n := -1
		if space > 0 && space <= 20 {
			if v, err := strconv.ParseInt(string(p[:space]), 10, 32); err == nil {
				n = int(v)
			}
		}
		if n <= space+1 || n > len(p) || p[n-1] != '\n' {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "record %d has a wrong length", len(out))
		}
		key, value, ok := strings.Cut(string(p[space+1:n-1]), "=")
		if !ok || key == "" {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "record %d has no key", len(out))
		}
		out = append(out, record{key, value})
		p = p[n:]
	}
	return out, nil
}

// Names of attributes may hold "=", which ends a key: GNU tar writes it, and the
// "%" that this needs, as URLs do.
var (
	xattrEncoder = strings.NewReplacer("%", "%25", "=", "%3D")
	xattrDecoder = strings.NewReplacer("%25", "%", "%3D", "=")
)
