package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// jsonName makes a string of bytes valid JSON text: bytes that are not UTF-8
// become \xNN, and a backslash is doubled, so that it can be undone.
func jsonName(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// fileLine is one file of ls --json.
type fileLine struct {
	Schema string `json:"schema"`
	Path   string `json:"path"` // see jsonName
	Type   string `json:"type"`
	Mode   string `json:"mode"` // octal permission bits
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Nlink  uint32 `json:"nlink"`
	Size   int64  `json:"size"`
	Mtime  string `json:"mtime"`
	Target string `json:"target,omitempty"`
}

// newJSONLines prints files as one object a line.
func newJSONLines(out io.Writer) func(string, filesys.Attr, string) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return func(name string, a filesys.Attr, target string) error {
		return enc.Encode(fileLine{
			Schema: "vmconv.file/1", Path: jsonName(name), Type: typeName(a.Mode),
			Mode: fmt.Sprintf("%04o", a.Mode.Perm()), UID: a.UID, GID: a.GID, Nlink: a.Nlink,
			Size: a.Size, Mtime: a.Mtime.UTC().Format(time.RFC3339Nano), Target: jsonName(target),
		})
	}
}

func typeName(m filesys.Mode) string {
	switch m.Type() {
	case filesys.Dir:
		return "directory"
	case filesys.Symlink:
		return "symlink"
	case filesys.CharDev:
		return "chardev"
	case filesys.BlockDev:
		return "blockdev"
	case filesys.Fifo:
		return "fifo"
	case filesys.Socket:
		return "socket"
	}
	return "file"
}
