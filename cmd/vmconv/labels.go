package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// labels gives what is copied into a guest the SELinux labels that the guest's
// own policy wants.
type labels struct {
	contexts *selinux.Contexts // nil: the guest labels no files, or nobody can say how
	unread   error             // why nobody can say
	relabel  bool              // something lacks a label that it should have
	told     map[string]bool   // specifications that were warned of
	notice   func(text string)
}

func newLabels(tree *guest.Tree, notice func(text string)) labels {
	contexts, err := guest.FileContexts(tree, ondisk.Limits{})
	return labels{contexts: contexts, unread: err, told: map[string]bool{}, notice: notice}
}

// give labels a new object, whose directory is dir and whose real path is full.
// Where the policy has no label, it is the directory's, as the kernel chooses. A
// filesystem that keeps no attributes keeps no labels.
func (l *labels) give(at placed, dir filesys.Node, full string, mode filesys.Mode) error {
	l.relabel = l.relabel || l.unread != nil
	if l.contexts == nil {
		return nil
	}
	m := l.contexts.Lookup(full, mode)
	for _, p := range m.Skipped {
		if !l.told[p.Spec] {
			l.told[p.Spec] = true
			l.notice(fmt.Sprintf("%s line %d: %s: %s: %q is labelled without it", p.File, p.Line, p.Spec, p.Why, full))
		}
	}
	value := selinux.Value(m.Label)
	if m.Label == "" {
		attrs, err := at.editor.Xattrs(dir)
		if err != nil || attrs[selinux.Xattr] == nil {
			return err
		}
		value = slices.Clone(attrs[selinux.Xattr])
	}
	err := at.editor.SetXattr(at.node, selinux.Xattr, value)
	if errors.Is(err, ondisk.ErrUnsupported) {
		return nil
	}
	return err
}

// finish makes the guest label all its files when nobody else can label what was
// copied into it.
func (l *labels) finish(e *editors) error {
	if !l.relabel {
		return nil
	}
	l.notice(fmt.Sprintf("the SELinux policy cannot be read (%v): the guest labels all its files anew when it starts", l.unread))
	ed, _, err := e.of("/")
	if err != nil {
		return err
	}
	_, err = ed.Create(ed.Root(), ".autorelabel", filesys.NewAttr{Mode: 0o644})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
