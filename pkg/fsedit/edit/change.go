package edit

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Kind of change to one path.
type Kind string

const (
	Modify Kind = "modify"  // a regular file's content
	Add    Kind = "add"     // a regular file
	Mkdir  Kind = "mkdir"   // a directory, for what is added below it
	Link   Kind = "symlink" // a new link, or another target of one
	Remove Kind = "remove"  // a file, link or empty directory
)

// Change is all that happens to one path, folded from the edits that touched it.
type Change struct {
	Path    string          // real path, links resolved
	Kind    Kind            //
	Reasons []Reason        // in the order of the edits
	OldHash string          // SHA-256 of the content before, hex; empty when there was none
	Before  blockdev.Device // nil when no regular file was there
	Content blockdev.Device // of Modify and Add
	Target  string          // of a Link
	Mode    filesys.Mode    // permission bits of an added object
	UID     uint32          // of an added object
	GID     uint32
	Label   string // SELinux label of an added object; empty: none, or the one of what it replaces
	Diff    string // how a person sees it: a unified diff, or an archive's listing
}

// Required reports whether the guest does not boot without the change.
func (c *Change) Required() bool {
	for _, r := range c.Reasons {
		if r.Required {
			return true
		}
	}
	return false
}

// Reason is one edit's word about a change.
type Reason struct {
	Edit     string `json:"edit"`
	Text     string `json:"text"`
	Required bool   `json:"required"` // the guest does not boot without it
}

// Warning is what an edit left alone and the user should know.
type Warning struct {
	Edit string `json:"edit"`
	Text string `json:"text"`
}
