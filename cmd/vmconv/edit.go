package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

type editFlags struct {
	image       imageFlags
	expressions []string
	backup      string
	dryRun      bool
}

func newEdit(a *app) *cobra.Command {
	var f editFlags
	cmd := &cobra.Command{
		Use:   "edit SOURCE PATH...",
		Short: "Edit files of a stopped guest, in place",
		Long: `Edit files of a stopped guest where they lie: by the substitutions given with
-e, or else in $VISUAL or $EDITOR. Owner, mode, links and labels stay.

The image is changed in one transaction: after a crash it holds the old files or
the new ones. An image that is in use is refused with exit code 9.`,
		Example: `  vmconv edit web.qcow2 /etc/hosts -e 's/10\.0\.0\.1/10.0.0.2/g'
  vmconv edit web.qcow2 /etc/fstab -b .orig
  vmconv edit web.qcow2 /etc/default/grub -e 's/quiet//' --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			disks, paths, err := a.split(&f.image, args, false)
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				return usagef("which file? name at least one path of the guest")
			}
			return a.edit(cmd.Context(), &f, disks, paths)
		},
	}
	f.image.register(cmd.Flags())
	set := cmd.Flags()
	set.StringArrayVarP(&f.expressions, "expression", "e", nil, "substitution `s/RE/NEW/[gi]`; several run in order")
	set.StringVarP(&f.backup, "backup", "b", "", "keep the old file beside it, with this `EXT` added")
	set.BoolVar(&f.dryRun, "dry-run", false, "show the diff and write nothing")
	return cmd
}

func (a *app) edit(ctx context.Context, f *editFlags, disks, paths []string) error {
	change, err := a.editor(f.expressions)
	if err != nil {
		return err
	}
	mode := readWrite
	if f.dryRun {
		mode = readOnly
	}
	m, err := a.openMachine(ctx, &f.image, disks, mode)
	if err != nil {
		return err
	}
	defer m.Close()
	staged := edit.NewStaged(m.Tree)
	for _, path := range paths {
		if err := editFile(staged, path, f.backup, change); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	changes, err := staged.Changes()
	if err != nil {
		return err
	}
	for _, w := range staged.Warnings() {
		a.ui.warn("", w.Edit, w.Text)
	}
	for _, c := range changes {
		if f.dryRun {
			fmt.Fprintln(a.stdout, printable(c.Diff))
			if c.Label != "" {
				fmt.Fprintf(a.stdout, "%s: labelled %s\n", printable(c.Path), printable(c.Label))
			}
		}
	}
	if len(changes) == 0 {
		a.ui.info("", "nothing to change")
		return nil
	}
	if f.dryRun {
		return nil
	}
	if err := edit.Apply(ctx, m.Tree, changes, edit.ApplyOptions{Now: time.Now()}); err != nil {
		return err
	}
	return m.commit(ctx, a.ui.observer())
}

// editFile stages one file's new content.
func editFile(s *edit.Staged, path, backup string, change func(path string, old []byte) ([]byte, error)) error {
	attr, err := s.Stat(path)
	if err != nil {
		return err
	}
	if !attr.Mode.IsRegular() {
		return ondisk.Because(ondisk.ErrUnsupported, "not a regular file")
	}
	old, err := guest.ReadFile(s, path, ondisk.DefaultLimits.Text)
	if err != nil {
		return err
	}
	text, err := change(path, old)
	if err != nil || bytes.Equal(text, old) {
		return err
	}
	why := edit.Reason{Edit: "edit", Text: "edited by hand", Required: true}
	if backup != "" {
		if err := s.WriteFile(path+backup, blockdev.FromBytes(old), attr.Mode.Perm(), why); err != nil {
			return err
		}
	}
	return s.WriteFile(path, blockdev.FromBytes(text), attr.Mode.Perm(), why)
}

// editor is how a file is changed: by expressions, or by a person.
func (a *app) editor(expressions []string) (func(string, []byte) ([]byte, error), error) {
	if len(expressions) == 0 {
		return a.interactive()
	}
	var subs []substitution
	for _, e := range expressions {
		s, err := parseSubstitution(e)
		if err != nil {
			return nil, err
		}
		subs = append(subs, s)
	}
	return func(_ string, text []byte) ([]byte, error) {
		for _, s := range subs {
			text = s.apply(text)
		}
		return text, nil
	}, nil
}

// interactive runs the user's own editor on a copy.
func (a *app) interactive() (func(string, []byte) ([]byte, error), error) {
	program := ""
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if v, ok := a.lookup(name); ok && v != "" {
			program = v
			break
		}
	}
	if program == "" {
		return nil, usagef("how? give substitutions with -e, or set EDITOR")
	}
	return func(path string, text []byte) ([]byte, error) {
		dir, err := os.MkdirTemp("", "vmconv-edit-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		name := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
		// EDITOR may hold options ("emacs -nw"), as a shell would split them.
		cmd := exec.Command("/bin/sh", "-c", program+` "$1"`, "sh", name)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
		if err := cmd.Run(); err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return nil, fmt.Errorf("%s ended with %v; nothing was changed", program, exit)
			}
			return nil, err
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	}, nil
}
