package fat

import (
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/content"
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
	return t.v.file(s), nil
}

// file is the content of the clusters that a slot leads to. FAT has no holes.
func (v *volume) file(s slot) *content.File {
	var mu sync.Mutex
	runs := chain{v: v, next: v.start(s)}
	return content.New(v.dev, int64(s.Size), func(off int64) (content.Run, error) {
		mu.Lock()
		defer mu.Unlock()
		r, err := runs.find(off)
		if err != nil {
			return content.Run{}, err
		}
		return content.Run{Off: r.at, Len: r.end(v) - r.at, At: v.clusterOff(r.first)}, nil
	})
}

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
