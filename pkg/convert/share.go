package convert

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// shareSize is the most, in bytes, that is shared at once: it costs hardly more
// than a little does, but cannot be interrupted.
const shareSize = 256 << 20

// sharing is the part of an extent whose blocks the output can share with the
// file that they lie in, so that nothing is copied. Zeros in it are not looked
// for: they take no room of their own.
type sharing struct {
	begin, end int64 // of the disk; empty when nothing can be shared
	from       blockdev.HostPos
}

// shareable finds the whole blocks of e that lie plainly in a file, if the writer
// and the host's file system can share them.
func (c *copier) shareable(e blockdev.Extent) sharing {
	w, ok := c.w.(imagefmt.Cloner)
	if !ok || c.pack || e.Host == nil {
		return sharing{}
	}
	unit := max(c.align, imagefmt.CloneUnit)
	s := sharing{begin: ondisk.AlignUp(e.Off, unit), end: ondisk.AlignDown(e.End(), unit)}
	s.from = blockdev.HostPos{File: e.Host.File, Off: e.Host.Off + s.begin - e.Off}
	if s.begin >= s.end || !w.CanClone(s.from) {
		return sharing{}
	}
	return s
}

// next is where the piece that begins at off ends, at most at end, and where it
// lies when it is shared.
func (s sharing) next(off, end int64) (int64, *blockdev.HostPos) {
	if s.begin <= off && off < s.end {
		return min(s.end, off+shareSize), &blockdev.HostPos{File: s.from.File, Off: s.from.Off + off - s.begin}
	}
	if off < s.begin {
		end = min(end, s.begin)
	}
	return min(ondisk.AlignDown(off, chunkSize)+chunkSize, end), nil
}

// share hands a piece to the writer without reading it.
func (c *copier) share(ch *chunk) error {
	if ch.zeros > 0 {
		if err := c.w.Zero(ch.off-ch.zeros, ch.zeros); err != nil {
			return err
		}
	}
	if err := c.w.(imagefmt.Cloner).CloneAt(*ch.from, ch.off, ch.n); err != nil {
		return err
	}
	c.shared += ch.n
	return nil
}
