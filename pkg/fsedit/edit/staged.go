package edit

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Staged is a guest's tree with changes on top that exist only here. It is a
// guest.View; edits read through it and stage their changes in it. It is for
// one goroutine.
type Staged struct {
	guest.View // TODO(edit helper): replace by a named field and real methods
}

// NewStaged starts with no changes over base.
func NewStaged(base guest.View) *Staged { return &Staged{View: base} }

// WriteFile stages new content for a file, links followed; a missing file is
// added with mode, owner root. Content that equals what is there is no change.
func (s *Staged) WriteFile(path string, content blockdev.Device, mode filesys.Mode, why Reason) error {
	return nil
}

// Remove stages the removal of a file.
func (s *Staged) Remove(path string, why Reason) error { return nil }

// Symlink stages a link.
func (s *Staged) Symlink(path, target string, why Reason) error { return nil }

// Warn records what an edit left alone and the user should know.
func (s *Staged) Warn(edit, format string, args ...any) {}

// Changes folds what was staged: one change a path, by path.
func (s *Staged) Changes() ([]Change, error) { return nil, nil }
