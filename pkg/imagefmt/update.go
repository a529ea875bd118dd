package imagefmt

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// File is a source that can also be changed: a view of a host file inside a
// transaction (osfile.Txn). A format writes to it in any order; nothing reaches
// the host before the transaction commits, so no format has crash code of its
// own.
type File interface {
	Source
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// SiblingFile is Sibling for a file that is changed with this one, in the
	// same transaction: an extent. What is only read, as a parent is, is opened
	// by Sibling.
	SiblingFile(name string) (File, error)
}

// Updater is a format whose images can be changed where they lie.
type Updater interface {
	Format
	// Update opens an image for writing. Bytes written to it land in file.
	Update(ctx context.Context, file File, opts OpenOptions) (WritableImage, error)
}

// WritableImage is an image opened by an [Updater]. Flush brings the format's
// own tables up to date in the file; it must be called before the transaction
// commits.
type WritableImage interface {
	Image
	blockdev.Writable
	Flush(ctx context.Context) error
}
