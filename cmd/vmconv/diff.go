package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

type diffFlags struct {
	first, second          imageFlags
	unified, times, asJSON bool
}

func newDiff(a *app) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B [PATH...]",
		Short: "Compare the files of two guests",
		Long: `Compare the files of two stopped guests, or what lies below the same PATHs in both:
what was added, removed and changed, in type, content, mode, owner, link target,
number of links, device number and extended attributes; with --times in the time of
the last change of content too. Links are compared and not followed, unless a PATH
leads through them. Exit code 0 means the same, 1 different.`,
		Example: `  vmconv diff before.qcow2 after.qcow2
  vmconv diff -u web1.qcow2 web2.vmdk /etc
  vmconv diff --json old.img new.img / | jq -r 'select(.change == "added") | .path'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = f.asJSON
			if len(args) < 2 {
				return usagef("which two guests? vmconv diff A B [PATH...]")
			}
			paths := args[2:]
			for i, arg := range paths {
				p, ok := guestPath(arg)
				if !ok {
					return usagef("%q is not a guest path: it has to begin with /", arg)
				}
				paths[i] = p
			}
			if len(paths) == 0 {
				paths = []string{"/"}
			}
			return a.diff(cmd.Context(), &f, args[0], args[1], paths)
		},
	}
	set := cmd.Flags()
	set.StringVarP(&f.first.format, "format", "f", "", "`FORMAT` of A; without it the image is probed")
	set.StringVarP(&f.second.format, "second-format", "F", "", "`FORMAT` of B")
	set.StringVar(&f.first.root, "root", "", "which system, by its root's `DEV` or UUID, where a disk holds several")
	set.StringArrayVarP(&f.first.mounts, "mount", "m", nil, "use filesystem `DEV[:/MNT]` of both, and look for no system")
	set.BoolVarP(&f.unified, "unified", "u", false, "show how small text files differ")
	set.BoolVar(&f.times, "times", false, "times of change differ, too")
	set.BoolVar(&f.asJSON, "json", false, "one JSON object a line")
	f.first.registerMachine(set)
	f.first.keys.register(set)
	f.first.registerExternal(set)
	return cmd
}

func (a *app) diff(ctx context.Context, f *diffFlags, first, second string, paths []string) error {
	x, err := a.openMachine(ctx, &f.first, []string{first}, readOnly)
	if err != nil {
		return err
	}
	defer x.Close()
	format := f.second.format
	f.second = f.first
	f.second.format = format
	y, err := a.openMachine(ctx, &f.second, []string{second}, readOnly)
	if err != nil {
		return err
	}
	defer y.Close()
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	d := differ{ctx: ctx, times: f.times, text: f.unified, emit: printChange(out)}
	if f.asJSON {
		d.emit = newJSONChanges(out)
	}
	if isTerminal(a.stdout) {
		d.emit = printableChange(d.emit)
	}
	for _, p := range paths {
		if err := d.trees(x.Tree, y.Tree, p); err != nil {
			out.Flush()
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if d.found {
		return errNo
	}
	return nil
}

// change is one path on which two trees differ.
type change struct {
	path, kind    string        // added, removed, changed
	what          []string      // that changed: "content", "mode"
	before, after *guest.Object // nil where it is not
	diff          string
}

// printChange prints for people: "changed /etc/hosts (content, mode 0644 to 0600)".
func printChange(w io.Writer) func(change) error {
	return func(c change) error {
		text := fmt.Sprintf("%-8s %s", c.kind, c.path)
		if len(c.what) > 0 {
			details := make([]string, len(c.what))
			for i, what := range c.what {
				details[i] = what + detail(what, c.before.Attr, c.after.Attr)
			}
			text += " (" + strings.Join(details, ", ") + ")"
		}
		_, err := io.WriteString(w, text+"\n"+c.diff)
		return err
	}
}

// detail is what an attribute was and is, where that is short.
func detail(what string, a, b filesys.Attr) string {
	switch what {
	case "type":
		return fmt.Sprintf(" %s to %s", typeName(a.Mode), typeName(b.Mode))
	case "mode":
		return fmt.Sprintf(" %04o to %04o", a.Mode.Perm(), b.Mode.Perm())
	case "owner":
		return fmt.Sprintf(" %d:%d to %d:%d", a.UID, a.GID, b.UID, b.GID)
	case "size":
		return fmt.Sprintf(" %d to %d", a.Size, b.Size)
	case "links":
		return fmt.Sprintf(" %d to %d", a.Nlink, b.Nlink)
	case "device":
		return fmt.Sprintf(" %d,%d to %d,%d", a.Major, a.Minor, b.Major, b.Minor)
	}
	return ""
}

// printableChange keeps a guest's names and contents from steering a terminal.
func printableChange(emit func(change) error) func(change) error {
	return func(c change) error {
		c.path, c.diff = printable(c.path), printable(c.diff)
		return emit(c)
	}
}

// changeLine is one line of diff --json.
type changeLine struct {
	Schema string    `json:"schema"`
	Path   string    `json:"path"` // see jsonName
	Change string    `json:"change"`
	What   []string  `json:"what,omitempty"`
	Before *sideLine `json:"before,omitempty"`
	After  *sideLine `json:"after,omitempty"`
	Diff   string    `json:"diff,omitempty"` // see jsonName
}

// sideLine is an object in one of the trees.
type sideLine struct {
	Type  string `json:"type"`
	Mode  string `json:"mode"` // octal permission bits
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	Nlink uint32 `json:"nlink"`
	Size  int64  `json:"size"`
	Mtime string `json:"mtime"`
}

func newJSONChanges(w io.Writer) func(change) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(c change) error {
		return enc.Encode(changeLine{"vmconv.diff/1", jsonName(c.path), c.kind, c.what, newSideLine(c.before), newSideLine(c.after), jsonName(c.diff)})
	}
}

func newSideLine(o *guest.Object) *sideLine {
	if o == nil {
		return nil
	}
	a := o.Attr
	return &sideLine{typeName(a.Mode), fmt.Sprintf("%04o", a.Mode.Perm()), a.UID, a.GID, a.Nlink, a.Size, a.Mtime.UTC().Format(time.RFC3339Nano)}
}
