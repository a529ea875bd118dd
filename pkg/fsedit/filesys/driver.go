package filesys

import (
	"context"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Driver is one family of filesystems. It is a stateless value.
type Driver interface {
	// Name is the family: "ext", "xfs".
	Name() string
	// Probe reads a superblock. No filesystem of the family is None and no
	// error; an error means that dev cannot be read.
	Probe(dev blockdev.Device) (ondisk.Match, Ident, error)
	// Open opens the filesystem on its members (one, but for multi-device
	// filesystems). What an unclean journal holds is replayed into the members,
	// which must then be Writable: overlays. The members stay the caller's.
	Open(ctx context.Context, members []blockdev.Device, opts Options) (Volume, error)
}

// Ident is what blkid(8) tells of a device.
type Ident struct {
	Type  string `json:"type"` // "ext4", "swap": the word of fstab
	UUID  string `json:"uuid,omitempty"`
	Label string `json:"label,omitempty"`
	Size  int64  `json:"size"` // bytes that the filesystem claims
}

// Options are the same for every driver. The zero value is good.
type Options struct {
	Limits ondisk.Limits
}

// Volume is an open filesystem with all its subvolumes.
type Volume interface {
	Ident() Ident
	Info() Info
	// Root is the tree of a subvolume; "" is the default one.
	Root(subvolume string) (FS, error)
	// Edit starts the one transaction that a volume may have at a time. It
	// fails with ondisk.ErrUnsupported or ErrReadOnly, naming what is in the way.
	Edit(opts EditOptions) (Editor, error)
	// FreeExtents are the byte ranges of the first member that no guest can
	// read as meaningful, ascending. It fails, rather than guesses, when
	// bitmaps and counters disagree. It looks at the state after Commit.
	FreeExtents(ctx context.Context) ([]Range, error)
	Space() Space
}

// Range is a run of bytes of a device.
type Range struct{ Off, Len int64 }

// Info describes a volume for inspect and for decisions; plain data.
type Info struct {
	Features []string `json:"features,omitempty"`
	Replayed bool     `json:"replayed,omitempty"`  // a journal was replayed in memory
	ReadOnly string   `json:"read_only,omitempty"` // why it cannot be edited; empty when it can
	Notices  []string `json:"notices,omitempty"`
}

// EditOptions start a transaction.
type EditOptions struct {
	Now  time.Time     // stamps changed objects; must be set
	Rand func() uint32 // inode generations; nil counts up from a fixed value
}
