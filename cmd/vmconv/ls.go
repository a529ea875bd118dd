package main

import (
	"bufio"
	"fmt"
	"io"
	"path"

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
			out := bufio.NewWriter(a.stdout)
			l.out = out
			if asJSON {
				l.emit = newJSONLines(out)
			}
			for _, p := range paths {
				l.walk = newWalk(cmd.Context(), m.Tree)
				if err := l.list(p); err != nil {
					return fmt.Errorf("%s: %w", p, err)
				}
			}
			return out.Flush()
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

	tree guest.View
	walk walk // of one argument
	out  io.Writer
	emit func(name string, a filesys.Attr, target string) error // JSON, or nil
}

// list prints a directory's names, or a file's own.
func (l *lister) list(p string) error {
	attr, err := l.tree.Stat(p)
	if err != nil {
		attr, err = l.tree.Lstat(p) // a link that leads nowhere is still a name
		if err != nil {
			return err
		}
	}
	if !attr.Mode.IsDir() {
		return l.line(p, p)
	}
	return l.dir(p, "")
}

// dir prints what is in a directory; prefix is what stands before its names.
func (l *lister) dir(p, prefix string) error {
	if err := l.walk.enter(p); err != nil {
		return err
	}
	entries, err := l.tree.ReadDir(p)
	if err != nil {
		return err
	}
	for _, e := range entries {
		full, name := path.Join(p, e.Name), prefix+e.Name
		if err := l.line(full, name); err != nil {
			return err
		}
		if !l.recursive {
			continue
		}
		// A link to a directory is not entered: it may lead back here.
		attr, err := l.tree.Lstat(full)
		if err != nil {
			return err
		}
		if attr.Mode.IsDir() {
			if err := l.dir(full, name+"/"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lister) line(full, name string) error {
	if l.emit == nil && !l.long {
		return l.print(l.quoted(name))
	}
	attr, err := l.tree.Lstat(full)
	if err != nil {
		return err
	}
	target := ""
	if attr.Mode.IsSymlink() {
		if target, err = l.tree.Readlink(full); err != nil {
			return err
		}
	}
	if l.emit != nil {
		return l.emit(name, attr, target)
	}
	text := fmt.Sprintf("%s %3d %5d %5d %s %s %s", attr.Mode, attr.Nlink, attr.UID, attr.GID,
		l.size(attr), attr.Mtime.UTC().Format("2006-01-02 15:04:05"), l.quoted(name))
	if target != "" {
		text += " -> " + l.quoted(target)
	}
	return l.print(text)
}

func (l *lister) print(text string) error {
	end := "\n"
	if l.nul {
		end = "\x00"
	}
	_, err := io.WriteString(l.out, text+end)
	return err
}

func (l *lister) size(a filesys.Attr) string {
	switch {
	case a.Mode.IsDevice():
		return fmt.Sprintf("%10s", fmt.Sprintf("%d, %d", a.Major, a.Minor))
	case l.human:
		return fmt.Sprintf("%10s", humanSize(a.Size))
	}
	return fmt.Sprintf("%10d", a.Size)
}

// quoted shows a name on a terminal as a shell would need it, when it holds
// what a terminal would obey.
func (l *lister) quoted(name string) string {
	if !l.quote || printable(name) == name && !hasNewline(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

func hasNewline(s string) bool {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\t' {
			return true
		}
	}
	return false
}
