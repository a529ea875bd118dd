package xva

import (
	"fmt"
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// run is chunks that follow each other on the disk and, at even distances, in
// the archive. A disk without holes is one run, however large it is.
type run struct {
	pos    int64 // guest offset of the first
	n      int64 // chunks; only the last of a disk is shorter than chunkSize
	size   int64 // bytes of each
	number int64 // in the name of the first
	off    int64 // where the first one's data lies in the archive
	stride int64 // from one's data to the next's; 0 while there is only one
	sumOff int64 // from a chunk's data to its checksum
	sum    sumKind
}

const runBytes = 64 // what a run takes in memory

// end is the first guest byte after the run.
func (r *run) end() int64 { return r.pos + (r.n-1)*chunkSize + r.size }

// take adds the chunk to the run if it continues it.
func (r *run) take(c run) bool {
	distance := c.off - (r.off + (r.n-1)*r.stride)
	switch {
	case r.size != chunkSize || c.size != chunkSize,
		c.pos != r.pos+r.n*chunkSize, c.number != r.number+r.n,
		c.sum != r.sum, c.sumOff != r.sumOff,
		r.n > 1 && distance != r.stride:
		return false
	}
	r.stride = distance
	r.n++
	return true
}

// chunkTable finds the chunks of one disk. It is filled in the archive's order,
// and then only read.
type chunkTable struct {
	ref     string
	size    int64 // of the disk
	runs    []run
	last    int64 // number of the last chunk seen, -1 at first
	pos     int64 // guest offset behind it
	pending *run  // the last chunk, whose checksum may follow
}

// add takes the member of a chunk or of its checksum.
func (t *chunkTable) add(name chunkName, m tarfile.Member) error {
	place := ondisk.At(layer, fmt.Sprintf("chunk %s", name), m.Off)
	if name.sum != noSum {
		return t.addSum(place, name, m)
	}
	t.settle()
	skipped := name.number - t.last - 1
	pos := t.pos + skipped*chunkSize // both are small: a number has 32 bits, pos is below size
	switch {
	case skipped < 0:
		return place.Corrupt("it comes after chunk %d", t.last)
	case t.last < 0 && skipped > 0:
		return place.Corrupt("the first chunk of the disk is missing")
	case m.Size > chunkSize:
		return place.Corrupt("%d bytes, more than %d", m.Size, chunkSize)
	case pos%chunkSize != 0:
		return place.Corrupt("the chunk before it is shorter than %d bytes", chunkSize)
	case pos >= t.size && m.Size > 0:
		return place.Corrupt("it lies behind the end of the disk of %d bytes", t.size)
	}
	// An empty chunk only keeps a connection alive: it has a number and no place
	// on the disk, so that the next chunk comes where it would have been.
	t.last, t.pos = name.number, pos+m.Size
	if m.Size > 0 {
		t.pending = &run{pos: pos, n: 1, size: m.Size, number: name.number, off: m.Off}
	}
	return nil
}

func (t *chunkTable) addSum(place ondisk.Place, name chunkName, m tarfile.Member) error {
	if name.number != t.last {
		return place.Corrupt("the checksum does not follow its chunk")
	}
	if want := sumKinds[name.sum].digits; m.Size < want || m.Size > want+2 {
		return place.Corrupt("a checksum of %d bytes, not %d", m.Size, want)
	}
	if c := t.pending; c != nil && c.sum == noSum {
		c.sum, c.sumOff = name.sum, m.Off-c.off
	}
	return nil
}

// settle puts the pending chunk into a run.
func (t *chunkTable) settle() {
	if t.pending == nil {
		return
	}
	if n := len(t.runs); n == 0 || !t.runs[n-1].take(*t.pending) {
		t.runs = append(t.runs, *t.pending)
	}
	t.pending = nil
}

// check is whether all of the disk is there: its last chunk always is, so that
// zeros at the end and an archive that broke off can be told apart.
func (t *chunkTable) check() error {
	if t.pos < t.size {
		return ondisk.At(layer, "disk "+t.ref, ondisk.NoOffset).Corrupt("its chunks end at %d of %d bytes: the archive is not complete", t.pos, t.size)
	}
	return nil
}

// chunk is one chunk of the disk.
type chunk struct {
	pos, size int64 // on the disk
	off       int64 // of its data in the archive
	number    int64
	sum       sumKind
	sumOff    int64 // of its checksum in the archive
}

func (c chunk) end() int64 { return c.pos + c.size }

// find is the chunk that holds guest offset off, or else the next one behind it.
func (t *chunkTable) find(off int64) (chunk, bool) {
	i := sort.Search(len(t.runs), func(i int) bool { return t.runs[i].end() > off })
	if i == len(t.runs) {
		return chunk{}, false
	}
	r := &t.runs[i]
	k := max(0, off-r.pos) / chunkSize
	c := chunk{pos: r.pos + k*chunkSize, size: r.size, off: r.off + k*r.stride, number: r.number + k, sum: r.sum}
	c.sumOff = c.off + r.sumOff
	return c, true
}
