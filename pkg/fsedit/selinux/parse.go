package selinux

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxSpec is the length of a specification, in bytes: PATH_MAX of Linux.
const maxSpec = 4096

// none is the label of what is not to be labelled.
const none = "<<none>>"

// fileTypes are the words of the second field.
var fileTypes = map[string]filesys.Mode{
	"--": filesys.Regular, "-d": filesys.Dir, "-l": filesys.Symlink, "-b": filesys.BlockDev,
	"-c": filesys.CharDev, "-p": filesys.Fifo, "-s": filesys.Socket,
}

// parser collects the lines of all files in order.
type parser struct {
	contexts *Contexts
	limit    int // lines that mean something
	list     []*spec
}

// specs reads one file of specifications.
func (p *parser) specs(file string, text []byte) error {
	line := 0
	for raw := range bytes.Lines(text) {
		line++
		fields := strings.Fields(string(raw))
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if p.limit--; p.limit < 0 {
			return ondisk.At(layer, file, ondisk.NoOffset).TooBig("more lines than are read here")
		}
		s, why := parseSpec(fields)
		if why != "" {
			p.contexts.problems = append(p.contexts.problems, Problem{file, line, fields[0], why})
			continue
		}
		s.file, s.line = file, line
		p.list = append(p.list, s)
	}
	return nil
}

// parseSpec reads the fields of one line; what follows the third is ignored.
func parseSpec(fields []string) (s *spec, why string) {
	s = &spec{text: fields[0]}
	switch {
	case len(fields) == 1:
		return nil, "no label"
	case len(fields) == 2:
		s.label = fields[1]
	default:
		t, ok := fileTypes[fields[1]]
		if !ok {
			return nil, fmt.Sprintf("%q is no type of files", fields[1])
		}
		s.kind, s.label = t, fields[2]
	}
	switch {
	case !ascii(s.text) || !ascii(s.label):
		return nil, "a byte that is not ASCII"
	case len(s.text) > maxSpec || len(s.label) > maxSpec:
		return nil, "too long"
	}
	s.study()
	return s, ""
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// substitutions reads a file of them, which may be missing.
func (p *parser) substitutions(read func(string) ([]byte, error), dir, file string) (substitutions, error) {
	text, err := optional(read, dir+file)
	if err != nil {
		return nil, err
	}
	var out substitutions
	for raw := range bytes.Lines(text) {
		fields := strings.Fields(string(raw))
		if len(fields) < 2 || fields[0][0] == '#' {
			continue
		}
		if p.limit--; p.limit < 0 {
			return nil, ondisk.At(layer, file, ondisk.NoOffset).TooBig("more lines than are read here")
		}
		out = append(out, substitution{fields[0], fields[1]})
	}
	return out, nil
}
