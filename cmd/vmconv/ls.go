package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

func newLs(a *app) *cobra.Command {
	var image imageFlags
	var l lister
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls SOURCE [PATH...]",
		Short: "List files of a stopped guest",
		Long: `List files of a stopped guest: the names in a directory, or the file itself.
Names are quoted on a terminal, since guests choose them.`,
		Example: `  vmconv ls web.qcow2 /boot
  vmconv ls -lh web.qcow2 /var/log
  vmconv ls -R -0 web.qcow2 /etc | xargs -0 -n1 echo`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			disks, paths, err := a.split(&image, args, true)
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				paths = []string{"/"}
			}
			m, err := a.openMachine(cmd.Context(), &image, disks, readOnly)
			if err != nil {
				return err
			}
			defer m.Close()
			l.tree = m.Tree
			l.quote = isTerminal(a.stdout)
			l.out = bufio.NewWriterSize(a.stdout, 64<<10)
			if asJSON {
				l.emit = newJSONLines(l.out)
			}
			for _, p := range paths {
				if err := l.list(cmd.Context(), p); err != nil {
					return fmt.Errorf("%s: %w", p, err)
				}
			}
			return l.out.Flush()
		},
	}
	image.register(cmd.Flags())
	f := cmd.Flags()
	f.BoolVarP(&l.long, "long", "l", false, "mode, owner, size, time and link target too")
	f.BoolVarP(&l.recursive, "recursive", "R", false, "whole trees, with paths from the argument on")
	f.BoolVarP(&l.nul, "null", "0", false, "end each name with NUL instead of a newline")
	f.BoolVarP(&l.human, "human-readable", "h", false, "sizes like 4.0K (for -l)")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line")
	f.Bool("help", false, "help for ls")
	return cmd
}

// lister prints names; the flags of ls are its fields.
type lister struct {
	long, recursive, nul, human, quote bool

	tree *guest.Tree
	out  *bufio.Writer
	emit func(name string, a filesys.Attr, target string) error // JSON, or nil
	line []byte                                                 // the last one
}

// list prints a directory's names, or a file's own.
func (l *lister) list(ctx context.Context, p string) error {
	attr, err := l.tree.Stat(p)
	if err != nil {
		attr, err = l.tree.Lstat(p) // a link that leads nowhere is still a name
		if err != nil {
			return err
		}
	}
	switch {
	case !attr.Mode.IsDir():
		return l.file(p)
	case l.recursive || l.long || l.emit != nil:
		return l.dir(ctx, p)
	}
	entries, err := l.tree.ReadDir(p)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.print(append(l.line[:0], l.quoted(e.Name)...)); err != nil {
			return err
		}
	}
	return nil
}

// file prints what is no directory under the name that the user gave.
func (l *lister) file(p string) error {
	attr, err := l.tree.Lstat(p)
	if err != nil {
		return err
	}
	target := ""
	if attr.Mode.IsSymlink() {
		if target, err = l.tree.Readlink(p); err != nil {
			return err
		}
	}
	return l.entry(p, attr, target)
}

// dir prints what is in a directory, of which more than the names is asked for. A
// link to a directory is not entered: it may lead back.
func (l *lister) dir(ctx context.Context, p string) error {
	top := ""
	return l.tree.Visit(ctx, p, func(o guest.Object) error {
		if top == "" {
			top = strings.TrimSuffix(o.Path, "/") + "/"
			return nil
		}
		target := ""
		if o.Attr.Mode.IsSymlink() {
			var err error
			if target, err = o.FS.Readlink(o.Attr.Node); err != nil {
				return fmt.Errorf("%s: %w", o.Path, err)
			}
		}
		err := l.entry(o.Path[len(top):], o.Attr, target)
		if err == nil && o.Attr.Mode.IsDir() && !l.recursive {
			err = fs.SkipDir
		}
		return err
	})
}

func (l *lister) entry(name string, a filesys.Attr, target string) error {
	if l.emit != nil {
		return l.emit(name, a, target)
	}
	b := l.line[:0]
	if l.long {
		b = l.columns(b, a)
	}
	b = append(b, l.quoted(name)...)
	if l.long && target != "" {
		b = append(append(b, " -> "...), l.quoted(target)...)
	}
	return l.print(b)
}

// columns are what -l shows before the name.
func (l *lister) columns(b []byte, a filesys.Attr) []byte {
	b = append(b, a.Mode.String()...)
	b = rightAligned(append(b, ' '), 3, uint64(a.Nlink))
	b = rightAligned(append(b, ' '), 5, uint64(a.UID))
	b = rightAligned(append(b, ' '), 5, uint64(a.GID))
	b = append(b, ' ')
	switch {
	case a.Mode.IsDevice():
		b = fmt.Appendf(b, "%10s", fmt.Sprintf("%d, %d", a.Major, a.Minor))
	case l.human:
		b = fmt.Appendf(b, "%10s", humanSize(a.Size))
	default:
		b = rightAligned(b, 10, uint64(max(0, a.Size)))
	}
	b = append(b, ' ')
	b = a.Mtime.UTC().AppendFormat(b, "2006-01-02 15:04:05")
	return append(b, ' ')
}

// rightAligned is %*d, of which ls prints four a line.
func rightAligned(b []byte, width int, n uint64) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	for i := len(text); i < width; i++ {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// print ends a line, and keeps its bytes for the next.
func (l *lister) print(line []byte) error {
	end := byte('\n')
	if l.nul {
		end = 0
	}
	l.line = append(line, end)
	_, err := l.out.Write(l.line)
	return err
}

// quoted shows a name on a terminal as a shell would need it, when it holds
// what a terminal would obey.
func (l *lister) quoted(name string) string {
	if !l.quote || printable(name) == name && !hasNewline(name) {
		return name
	}
	return strconv.Quote(name)
}

func hasNewline(s string) bool { return strings.ContainsAny(s, "\n\t") }
