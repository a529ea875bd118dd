package kmod

import (
	"iter"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Module is one module of a tree.
type Module struct {
	Name string   // canonical
	Path string   // as the index has it: relative to the directory, or absolute
	Deps []string // paths of all that it needs, the one to be loaded first last
}

// Alias maps a pattern to a module.
type Alias struct {
	Pattern string
	Module  string
}

// Softdep names what should be loaded before and after a module, if it exists.
type Softdep struct {
	Module    string
	Pre, Post []string

	line string // as it was read: some modules carry malformed ones
}

// ParseDep reads modules.dep.
func ParseDep(text []byte) ([]Module, error) {
	var all []Module
	for n, line := range lines(text) {
		p, deps, ok := strings.Cut(line, ":")
		if !ok || p == "" {
			return nil, ondisk.At("kmod", "modules.dep", ondisk.NoOffset).In("line %d", n).Corrupt("no path before a colon")
		}
		all = append(all, Module{Name: Name(p), Path: p, Deps: strings.Fields(deps)})
	}
	return all, nil
}

// ParseAlias reads modules.alias, modules.symbols, or the alias lines of a
// configuration file. Other lines are skipped, as modprobe does.
func ParseAlias(text []byte) []Alias {
	var all []Alias
	for _, line := range lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" {
			all = append(all, Alias{f[1], f[2]})
		}
	}
	return all
}

// ParseSoftdep reads modules.softdep, or the softdep lines of modprobe.d(5).
func ParseSoftdep(text []byte) []Softdep {
	var all []Softdep
	for _, line := range lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "softdep" {
			continue
		}
		s := Softdep{Module: f[1], line: line}
		var list *[]string
		for _, word := range f[2:] {
			switch {
			case word == "pre:":
				list = &s.Pre
			case word == "post:":
				list = &s.Post
			case list != nil:
				*list = append(*list, word)
			}
		}
		all = append(all, s)
	}
	return all
}

// ParseOrder reads modules.order or modules.builtin: paths, one a line.
func ParseOrder(text []byte) []string {
	var all []string
	for _, line := range lines(text) {
		all = append(all, line)
	}
	return all
}

// lines are those that say something, with their numbers from 1. A backslash
// at the end joins a line to the next, as in modprobe.d(5).
func lines(text []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n, held := 0, ""
		for line := range strings.Lines(string(text)) {
			n++
			line = held + strings.TrimRight(line, "\r\n")
			held = ""
			if rest, ok := strings.CutSuffix(line, "\\"); ok {
				held = rest
				continue
			}
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(n, line) {
				return
			}
		}
	}
}
