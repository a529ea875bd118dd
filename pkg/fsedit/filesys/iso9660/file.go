package iso9660

import (
	"sort"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/content"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxRuns is how many extents a file may have; each but the last holds up to
// 4 GiB.
const maxRuns = 1 << 16

func length(runs []content.Run) int64 {
	last := runs[len(runs)-1]
	return last.Off + last.Len
}

// runs are the extents of a file: of its record and those behind it, as long as
// they say that more follow.
func (t tree) runs(o *object) ([]content.Run, error) {
	var out []content.Run
	size := int64(0)
	for {
		out = append(out, content.Run{Off: size, Len: int64(o.Size), At: o.start() * t.block})
		size += int64(o.Size)
		if o.Flags&flagMore == 0 {
			return out, nil
		}
		if len(out) == maxRuns {
			return nil, recordAt(o.off).TooBig("more than %d extents", maxRuns)
		}
		var err error
		if o, err = t.following(o); err != nil {
			return nil, err
		}
	}
}

// following is the record behind another, in its block or the next.
func (t tree) following(o *object) (*object, error) {
	off := o.off + int64(o.Length)
	if off%t.block != 0 {
		p, err := t.readBlock(ondisk.AlignDown(off, t.block))
		if err != nil {
			return nil, err
		}
		if in := off % t.block; in < int64(len(p)) && p[in] != 0 {
			return t.object(filesys.Node(off))
		}
	}
	return t.object(filesys.Node(ondisk.AlignUp(off, t.block)))
}

func (t tree) Open(n filesys.Node) (blockdev.Device, error) {
	o, err := t.object(n)
	switch {
	case err != nil:
		return nil, err
	case o.mode().IsDir():
		return nil, filesys.ErrIsDir
	case !o.mode().IsRegular():
		return nil, filesys.ErrNotFile
	case o.rock.damage != nil:
		return nil, o.rock.damage
	case o.rock.zisofs:
		return nil, recordAt(o.off).Unsupported("a file compressed by zisofs")
	case o.Unit != 0 || o.Gap != 0:
		return nil, recordAt(o.off).Unsupported("an interleaved file")
	}
	runs, err := t.runs(o)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.Len > 0 && !ondisk.InRange(r.At, r.Len, t.dev.Size()) {
			return nil, recordAt(o.off).Corrupt("%d bytes at %#x, behind the end", r.Len, r.At)
		}
	}
	return content.New(t.dev, length(runs), func(off int64) (content.Run, error) {
		k := sort.Search(len(runs), func(k int) bool { return runs[k].Off+runs[k].Len > off })
		return runs[k], nil
	}), nil
}
