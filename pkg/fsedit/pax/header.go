package pax

import "github.com/vmconv/vmconv/pkg/fsedit/filesys"

// Header is what an archive tells about one name.
type Header struct {
	Name string // as it stands in the archive, which for a directory ends in "/"
	// Attr has mode with type, owner, size, device numbers and times. Times that
	// the archive does not tell are zero.
	Attr filesys.Attr
	// Link is the target of a symbolic link, or with Hard the name of the member
	// that this one is another name of.
	Link string
	Hard bool
	// Xattrs are keyed by full name; ACLs are in the form of the system call.
	Xattrs map[string][]byte
}

// segment is a run of data of a sparse file.
type segment struct{ off, len int64 }

func (s segment) end() int64 { return s.off + s.len }
