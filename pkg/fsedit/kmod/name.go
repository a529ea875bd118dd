package kmod

import (
	"path"
	"strings"
)

// Name is the canonical name of a module: of a path its last component up to
// the first dot, with "_" for "-".
func Name(p string) string {
	base, _, _ := strings.Cut(path.Base(p), ".")
	return strings.ReplaceAll(base, "-", "_")
}

// NormalAlias is the form in which aliases are stored and looked up: "_" for
// "-", but not within brackets.
func NormalAlias(a string) string {
	if strings.IndexByte(a, '-') < 0 {
		return a
	}
	b := []byte(a)
	inside := false
	for i, c := range b {
		switch {
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '-' && !inside:
			b[i] = '_'
		}
	}
	return string(b)
}

// suffixes are the compressions that kmod reads.
var suffixes = []string{".gz", ".xz", ".zst"}

// PlainPath is the path of a module file once it is unpacked: "x.ko" for "x.ko.xz".
func PlainPath(p string) string {
	for _, s := range suffixes {
		if strings.HasSuffix(p, ".ko"+s) {
			return strings.TrimSuffix(p, s)
		}
	}
	return p
}

// IsModule reports whether a file's name is that of a module.
func IsModule(p string) bool { return strings.HasSuffix(PlainPath(p), ".ko") }
