package fat

import (
	"fmt"
	"io"
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// run is neighbouring clusters of a file.
type run struct {
	at    int64  // byte of the file
	first uint32 // cluster
	n     uint32 // clusters
}

func (t *tree) Open(n filesys.Node) (blockdev.Device, error) {
	if n == rootNode {
		return nil, filesys.ErrIsDir
	}
	s, off, err := t.v.nodeSlot(n)
	switch {
	case err != nil:
		return nil, err
	case s.Attr&attrDir != 0:
		return nil, filesys.ErrIsDir
	case int64(s.Size) > int64(t.v.clusters)<<t.v.clusterBits:
		return nil, slotAt(off).Corrupt("a file of %d bytes is larger than the filesystem", s.Size)
	}
	return &file{v: t.v, size: int64(s.Size), runs: chain{v: t.v, next: t.v.start(s)}}, nil
}

// file is a Device over the clusters of a file.
type file struct {
	v    *volume
	size int64

	mu   sync.Mutex
	runs chain
}

var (
	_ blockdev.Device   = (*file)(nil)
	_ blockdev.Extenter = (*file)(nil)
	_ blockdev.Geometry = (*file)(nil)
)

func (f *file) Size() int64 { return f.size }

func (f *file) SectorSize() (logical, physical int) { return blockdev.SectorSize(f.v.dev) }

// chain is the runs of a file, as far as they were followed.
type chain struct {
	v    *volume
	runs []run
	next uint32 // cluster that follows; 0 at the end
	seen uint32 // clusters that were followed
	mark uint32 // one of them, to know a ring by
}

// find is the run that holds byte off of the file.
func (c *chain) find(off int64) (run, error) {
	if i := c.search(off); i >= 0 {
		return c.runs[i], nil
	}
	cur := cursor{v: c.v}
	for {
		err := c.grow(&cur)
		if len(c.runs) == 0 {
			return run{}, err
		}
		r := c.runs[len(c.runs)-1]
		if off < r.end(c.v) && (err != nil || c.next != r.first+r.n) {
			return r, nil // an error shows again to whoever reads there
		}
		if err != nil {
			return run{}, err
		}
	}
}

func (r run) end(v *volume) int64 { return r.at + int64(r.n)<<v.clusterBits }

func (c *chain) search(off int64) int {
	lo, hi := 0, len(c.runs)
	for lo < hi {
		if mid := (lo + hi) / 2; c.runs[mid].end(c.v) <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(c.runs) {
		return lo
	}
	return -1
}

// grow follows the chain by one cluster. A ring is known by one of its clusters
// that comes again: Brent's algorithm.
func (c *chain) grow(cur *cursor) error {
	n, v := c.next, c.v
	at := ondisk.At(layer, "FAT", v.tableOff(v.active))
	switch {
	case n == 0:
		return at.Corrupt("the chain of a file ends before the file does")
	case !v.inVolume(n):
		return at.Corrupt("a file leads to cluster %d of %d", n, v.clusters)
	case n == c.mark || c.seen >= v.clusters:
		return at.In("entry %d", n).Corrupt("the chain of a file is a ring")
	}
	next, err := cur.next(n)
	if err != nil {
		return err
	}
	if c.seen&(c.seen-1) == 0 {
		c.mark = n
	}
	c.seen++
	c.next = next
	if k := len(c.runs); k > 0 && c.runs[k-1].first+c.runs[k-1].n == n {
		c.runs[k-1].n++
		return nil
	}
	if int64(len(c.runs)) >= v.limits.Table/16 {
		return at.TooBig("a file in more than %d pieces", len(c.runs))
	}
	c.runs = append(c.runs, run{at: int64(c.seen-1) << v.clusterBits, first: n, n: 1})
	return nil
}

// place is where byte off of the file lies, and how many lie there together.
func (f *file) place(off int64) (at, n int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.runs.find(off)
	if err != nil {
		return 0, 0, err
	}
	return f.v.clusterOff(r.first) + off - r.at, min(r.end(f.v), f.size) - off, nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("fat: negative offset %d", off)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > f.size-off {
		p, end = p[:f.size-off], io.EOF
	}
	for done := 0; done < len(p); {
		at, left, err := f.place(off + int64(done))
		if err != nil {
			return done, err
		}
		piece := p[done:min(int64(len(p)), int64(done)+left)]
		n, err := f.v.dev.ReadAt(piece, at)
		done += n
		if n < len(piece) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return done, err
		}
	}
	return len(p), end
}

// NextExtent tells what the device below does: FAT has no holes.
func (f *file) NextExtent(off, n int64) (blockdev.Extent, error) {
	at, left, err := f.place(off)
	if err != nil {
		return blockdev.Extent{}, err
	}
	e, err := blockdev.NextExtent(f.v.dev, at, min(n, left))
	e.Off = off
	return e, err
}
