package xfs

import (
	"context"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// WriteFile replaces the content of a file; see [filesys.Editor]. Capabilities
// do not survive new content, as they do not survive write(2).
func (e *editor) WriteFile(n filesys.Node, content blockdev.Device) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		switch {
		case err != nil:
			return err
		case in.mode().IsDir():
			return filesys.ErrIsDir
		case !in.mode().IsRegular():
			return filesys.ErrNotFile
		case in.has(diRealtime):
			return in.at().Unsupported("its content is on the realtime device")
		case e.v.blocksFor(content.Size()) >= maxLogical:
			return in.at().Unsupported("a file of %d bytes is too large for this filesystem", content.Size())
		}
		spans, err := dataSpans(content, e.v.blockBits)
		if err != nil {
			return err
		}
		if err := e.dropPrivileges(in); err != nil {
			return err
		}
		old, err := e.v.holding(e.v.dataFork(in))
		if err != nil {
			return err
		}
		return e.replace(in, old, content, spans)
	})
}

// replace lays content out in new blocks, then frees the old ones.
func (e *editor) replace(in *inode, old *holding, content blockdev.Device, spans []span) error {
	runs, err := e.layOut(in, spans)
	if err != nil {
		return err
	}
	if err := e.setMap(in, false, old, runs); err != nil {
		return err
	}
	if err := e.releaseRuns(in, false, old.runs); err != nil {
		return err
	}
	if in.Version >= 3 && in.has2(di2Reflink) {
		in.put64(inFlags2, in.Flags2&^di2Reflink)
	}
	in.setSize(content.Size())
	e.setPending(in.num, pendingFile{content, runs})
	return e.modified(in)
}

// dataSpans are the blocks that content fills: all but those that lie wholly in its
// holes.
func dataSpans(content blockdev.Device, bits uint) ([]span, error) {
	var out []span
	for x, err := range blockdev.Extents(context.Background(), content, 0, content.Size()) {
		if err != nil {
			return nil, err
		}
		if x.Kind == blockdev.Zero {
			continue
		}
		first, end := uint64(x.Off)>>bits, (uint64(x.End())+1<<bits-1)>>bits
		if n := len(out); n > 0 && first <= out[n-1].at+out[n-1].count {
			out[n-1].count = max(end, out[n-1].at+out[n-1].count) - out[n-1].at
			continue
		}
		out = append(out, span{first, end - first})
	}
	return out, nil
}

// SetAttr changes attributes; an access ACL follows the permission bits.
func (e *editor) SetAttr(n filesys.Node, a filesys.SetAttr) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		if err != nil {
			return err
		}
		if a.Mode != nil {
			if err := e.chmod(in, *a.Mode); err != nil {
				return err
			}
		}
		uid, gid := in.UID, in.GID
		if a.UID != nil {
			uid = *a.UID
		}
		if a.GID != nil {
			gid = *a.GID
		}
		in.setOwner(uid, gid)
		if a.Atime != nil {
			in.setTime(inAtime, *a.Atime)
		}
		if a.Mtime != nil {
			in.setTime(inMtime, *a.Mtime)
		}
		return e.changed(in)
	})
}
