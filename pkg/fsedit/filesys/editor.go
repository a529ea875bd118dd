package filesys

import (
	"context"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Editor changes one volume in one transaction. Its FS side shows the state with
// the changes so far. Nothing reaches the device before Commit; Commit first
// checks what was touched. After Commit or Abort the editor is done, and FSs
// opened before it show the state after it. An editor is for one goroutine.
//
// It never raises the feature set of the filesystem: what the guest's own
// kernel and boot loader could not read is refused with ondisk.ErrUnsupported.
type Editor interface {
	FS
	// Create makes an empty regular file: fs.ErrExist when the name is taken.
	Create(dir Node, name string, a NewAttr) (Node, error)
	// WriteFile replaces the content of a regular file, and keeps the rest: inode,
	// links, owner, mode, ACL, label. Holes of content become holes. content is
	// read no later than Commit.
	WriteFile(n Node, content blockdev.Device) error
	Mkdir(dir Node, name string, a NewAttr) (Node, error)
	Symlink(dir Node, name, target string, a NewAttr) (Node, error)
	// Mknod makes a device, fifo or socket; the type is in a.Mode.
	Mknod(dir Node, name string, a NewAttr, major, minor uint32) (Node, error)
	Link(n Node, dir Node, name string) error
	// Rename replaces the target as rename(2) does.
	Rename(oldDir Node, oldName string, newDir Node, newName string) error
	// Remove unlinks a file or an empty directory.
	Remove(dir Node, name string) error
	SetAttr(n Node, a SetAttr) error
	SetXattr(n Node, name string, value []byte) error
	RemoveXattr(n Node, name string) error
	Commit(ctx context.Context) error
	Abort()
}

// NewAttr is what a new object starts with. Mode's type bits are set by the
// operation, except for Mknod. A zero Mtime is the transaction's time.
type NewAttr struct {
	Mode     Mode
	UID, GID uint32
	Mtime    time.Time
}

// SetAttr changes what is not nil. Ctime becomes the transaction's time.
type SetAttr struct {
	Mode         *Mode // permission bits only; the type stays
	UID, GID     *uint32
	Atime, Mtime *time.Time
}
