package filesys

import (
	"io"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Node is a file, directory or other object of one FS: its inode number, or
// what stands for it. It is valid as long as the FS.
type Node uint64

// Dirent is one name in a directory; "." and ".." are left out.
type Dirent struct {
	Name string
	Node Node
	Type Mode // the S_IFMT bits; 0 when the directory does not store them
}

// FS reads one filesystem, or one subvolume of it. It follows no symbolic link
// and resolves no path: [Walk] and package guest do. It is safe for concurrent
// use. Errors wrap fs.ErrNotExist, ondisk.ErrCorrupt or what the device said.
type FS interface {
	Root() Node
	// Lookup finds a name in a directory: fs.ErrNotExist, ErrNotDir.
	Lookup(dir Node, name string) (Node, error)
	// ReadDir lists a directory in the order that it is stored in.
	ReadDir(dir Node) ([]Dirent, error)
	Attr(n Node) (Attr, error)
	// Open gives the bytes of a regular file; holes are Zero extents. ErrIsDir
	// and ErrNotFile for others.
	Open(n Node) (blockdev.Device, error)
	Readlink(n Node) (string, error)
	// Xattrs are keyed by full name ("security.selinux"), with values as
	// getxattr(2) gives them: POSIX ACLs in the form of the system call.
	Xattrs(n Node) (map[string][]byte, error)
}

// Attr is what stat(2) tells, and a little more.
type Attr struct {
	Node         Node
	Mode         Mode
	UID, GID     uint32
	Nlink        uint32
	Major, Minor uint32 // of a device node
	Size         int64  // bytes
	Blocks       int64  // 512-byte units that are allocated
	Atime        time.Time
	Mtime        time.Time
	Ctime        time.Time
	Btime        time.Time // zero when not stored
	Flags        Flags
}

// Flags are the attributes of chattr(1) that matter when a file is replaced.
type Flags uint32

const (
	Immutable Flags = 1 << iota
	AppendOnly
	NoDump
	Encrypted // content and names are opaque
	Verity
	Compressed
	NoCow
)

// Space is the room in a filesystem, as statfs(2) tells it of a read-only mount.
type Space struct {
	BlockSize   int64 // bytes
	Blocks      int64 // of BlockSize, less what the filesystem needs for itself
	FreeBlocks  int64
	AvailBlocks int64 // FreeBlocks less what is reserved for root
	Inodes      int64 // 0 where inodes are not counted
	FreeInodes  int64
}

// ReadFile reads a whole regular file of at most limit bytes.
func ReadFile(f FS, n Node, limit int64) ([]byte, error) {
	dev, err := f.Open(n)
	if err != nil {
		return nil, err
	}
	if dev.Size() > limit {
		return nil, tooBig(dev.Size(), limit)
	}
	p := make([]byte, dev.Size())
	if _, err := io.ReadFull(blockdev.NewReader(dev), p); err != nil {
		return nil, err
	}
	return p, nil
}
