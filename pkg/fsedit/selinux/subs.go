package selinux

import (
	"slices"
	"strings"
)

// substitution makes what lies below one folder labelled as if it lay below
// another.
type substitution struct{ from, to string }

type substitutions []substitution

// apply replaces the beginning of a path by the last substitution that fits.
func (list substitutions) apply(path string) (string, bool) {
	for _, s := range slices.Backward(list) {
		rest, ok := strings.CutPrefix(path, s.from)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if s.to == "/" {
			rest = strings.TrimPrefix(rest, "/")
		}
		return s.to + rest, true
	}
	return path, false
}

// key is the path that specifications are matched with.
func (c *Contexts) key(path string) string {
	path, _ = c.local.apply(path)
	path, _ = c.dist.apply(path)
	return path
}
