package squashfs

import (
	"math/bits"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// readSuper fails with ErrFormat on what is no squashfs 4.
func readSuper(dev blockdev.Device) (super, error) {
	if dev.Size() < superSize {
		return super{}, superAt().Format("too short")
	}
	s, err := ondisk.Read[super](dev, 0, le)
	switch {
	case err != nil:
		return s, superAt().Wrap(err)
	case s.Magic != magic || s.Major != 4:
		return s, superAt().Format("no signature")
	}
	return s, nil
}

func (s *super) ident() filesys.Ident {
	id := filesys.Ident{Type: layer}
	if s.Used < 1<<62 {
		id.Size = int64(s.Used)
	}
	return id
}

// check fails unless the geometry makes sense on a device of size bytes.
func (s *super) check(size int64) error {
	at := superAt()
	switch {
	case s.Minor != 0:
		return at.Unsupported("version 4.%d", s.Minor)
	case s.BlockSize < minBlock || s.BlockSize > maxBlock || bits.OnesCount32(s.BlockSize) != 1 || 1<<(s.BlockLog&63) != uint64(s.BlockSize):
		return at.Corrupt("blocks of %d bytes, whose logarithm is said to be %d", s.BlockSize, s.BlockLog)
	case s.Used < superSize || s.Used > uint64(size):
		return at.Corrupt("%d bytes used of %d", s.Used, size)
	case s.InodeTable < superSize || s.InodeTable >= s.DirTable:
		return at.Corrupt("the inode table begins at %#x, the directory table at %#x", s.InodeTable, s.DirTable)
	case s.IDs == 0:
		return at.Corrupt("no owners")
	}
	for _, t := range []struct {
		name     string
		start    uint64
		optional bool
	}{{"directory", s.DirTable, false}, {"id", s.IDTable, false}, {"fragment", s.FragTable, s.Fragments == 0}, {"xattr", s.XattrTable, true}} {
		if t.start >= s.Used && !(t.optional && t.start == noTable) {
			return at.Corrupt("the %s table begins at %#x, behind the end", t.name, t.start)
		}
	}
	return nil
}
