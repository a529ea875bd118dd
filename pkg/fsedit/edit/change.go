package edit

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Kind of change to one path.
type Kind string

const (
	Modify Kind = "modify" // a regular file's content
	Add    Kind = "add"
	Remove Kind = "remove"
	Link   Kind = "symlink"
)

// Change is all that happens to one path, folded from the edits that touched it.
type Change struct {
	Path    string          // real path, links resolved
	Kind    Kind            //
	Reasons []Reason        // in the order of the edits
	OldHash string          // SHA-256 of the content before, hex; empty for Add
	Before  blockdev.Device // nil for Add
	Content blockdev.Device // nil for Remove; for Link its Target
	Target  string          // of a Link
	Mode    filesys.Mode    // permission bits of an added file
	UID     uint32          // of an added file
	GID     uint32
	Diff    string // how a person sees it: a unified diff, or an archive's listing
}

// Reason is one edit's word about a change.
type Reason struct {
	Edit     string `json:"edit"`
	Text     string `json:"text"`
	Required bool   `json:"required"` // the guest does not boot without it
}
