package fat

import (
	"math"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// WriteFile replaces the content of a file; see [filesys.Editor]. FAT has no
// holes: zeros take their room.
func (e *editor) WriteFile(n filesys.Node, content blockdev.Device) error {
	return e.do(func() error {
		if n == rootNode {
			return filesys.ErrIsDir
		}
		s, off, err := e.v.nodeSlot(n)
		switch {
		case err != nil:
			return err
		case s.Attr&attrDir != 0:
			return filesys.ErrIsDir
		case content.Size() > math.MaxUint32:
			return slotAt(off).Unsupported("a file of %d bytes; FAT ends at 4 GiB", content.Size())
		}
		runs, err := e.alloc.alloc(uint32(ondisk.DivUp(content.Size(), e.v.clusterSize)))
		if err != nil {
			return err
		}
		if err := first(e.link(runs), e.release(e.v.start(s)), e.setStart(off, startOf(runs))); err != nil {
			return err
		}
		if err := e.patchSlot(off, slSize, le.AppendUint32(nil, uint32(content.Size()))...); err != nil {
			return err
		}
		stage.Set(e.stage, e.pending, n, pendingFile{content, runs})
		return first(e.patchSlot(off, slAttr, s.Attr|attrArchive), e.setMtime(off, e.now))
	})
}

func startOf(runs []run) uint32 {
	if len(runs) == 0 {
		return 0
	}
	return runs[0].first
}

// setStart changes the first cluster of a slot. Before FAT32 the upper half
// belongs to others.
func (e *editor) setStart(off int64, start uint32) error {
	if e.v.bits == 32 {
		if err := e.patchSlot(off, slClusterHi, le.AppendUint16(nil, uint16(start>>16))...); err != nil {
			return err
		}
	}
	return e.patchSlot(off, slClusterLo, le.AppendUint16(nil, uint16(start))...)
}

// SetAttr changes times, and from the permission bits "read-only" of a file: it
// is set where the owner may not write. The rest of a mode is the business of
// whoever mounts; owners other than root are refused. The root directory has
// nowhere to keep anything.
func (e *editor) SetAttr(n filesys.Node, a filesys.SetAttr) error {
	return e.do(func() error {
		if a.UID != nil && *a.UID != 0 || a.GID != nil && *a.GID != 0 {
			return refuse("owners")
		}
		if n == rootNode {
			return nil
		}
		s, off, err := e.v.nodeSlot(n)
		if err != nil {
			return err
		}
		if a.Mode != nil && s.Attr&attrDir == 0 {
			if err := e.patchSlot(off, slAttr, readOnlyBit(s.Attr, *a.Mode)); err != nil {
				return err
			}
		}
		if a.Atime != nil {
			if err := e.setAtime(off, *a.Atime); err != nil {
				return err
			}
		}
		if a.Mtime != nil {
			return e.setMtime(off, *a.Mtime)
		}
		return nil
	})
}

func readOnlyBit(attr uint8, m filesys.Mode) uint8 {
	if m&0o200 == 0 {
		return attr | attrReadOnly
	}
	return attr &^ attrReadOnly
}
