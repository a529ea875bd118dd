package qcow2

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// counts are the reference counts of an image that is being changed, and with
// them its free space. Every change goes to the file at once. New clusters come
// from behind the file's end, or were freed by this very run: what an older
// writer has left with a count of zero is not trusted to be free.
type counts struct {
	geometry
	order    uint
	file     imagefmt.File
	tableOff int64
	table    []uint64
	blocks   *ondisk.BlockCache[int64]
	next     int64   // the first cluster behind all that are in use
	freed    []int64 // clusters whose count fell to zero
	strays   int     // clusters passed over
}

func loadCounts(file imagefmt.File, h *header, limits ondisk.Limits) (*counts, error) {
	c := &counts{
		geometry: h.geometry,
		order:    uint(h.RefcountOrder),
		file:     file,
		tableOff: int64(h.RefcountTableOffset),
		blocks:   ondisk.NewBlockCache[int64](limits.Cache / 2),
		next:     ondisk.DivUp(file.Size(), h.clusterSize()),
	}
	at := ondisk.At(layer, "refcount table", c.tableOff)
	if h.RefcountTableClusters == 0 {
		return nil, at.Corrupt("the image has none")
	}
	raw, err := ondisk.Bytes(file, c.tableOff, int64(h.RefcountTableClusters)<<h.clusterBits)
	if err != nil {
		return nil, at.Wrap(err)
	}
	c.table = make([]uint64, len(raw)/8)
	for i := range c.table {
		e := binary.BigEndian.Uint64(raw[i*8:])
		if e%uint64(c.clusterSize()) != 0 || e > uint64(file.Size()) || !ondisk.InRange(int64(e), c.clusterSize(), file.Size()) {
			return nil, at.In("entry %d", i).Corrupt("refcount block at %#x", e)
		}
		c.table[i] = e
	}
	return c, nil
}

// block is the refcount block of a cluster and its index in it; without a block
// when there is none yet.
func (c *counts) block(cluster int64) (refcounts, int64, error) {
	n := c.blockEntries(c.order)
	i := cluster / n
	if i >= int64(len(c.table)) || c.table[i] == 0 {
		return refcounts{}, 0, nil
	}
	off := int64(c.table[i])
	data := c.blocks.Get(off)
	if data == nil {
		data = make([]byte, c.clusterSize())
		if err := ondisk.Full(c.file, data, off); err != nil {
			return refcounts{}, 0, ondisk.At(layer, "refcount block", off).Wrap(err)
		}
		data = c.blocks.Put(off, data)
	}
	return refcounts{c.order, data}, cluster % n, nil
}

func (c *counts) get(cluster int64) (uint64, error) {
	r, i, err := c.block(cluster)
	if err != nil || r.block == nil {
		return 0, err
	}
	return r.get(i), nil
}

// acquire counts one more reference to a cluster.
func (c *counts) acquire(cluster int64) error {
	if err := c.ensure(cluster / c.blockEntries(c.order)); err != nil {
		return err
	}
	return c.change(cluster, +1)
}

// release counts one reference less to each cluster that the n bytes from host
// touch.
func (c *counts) release(host, n int64) error {
	for cl := host >> c.clusterBits; cl <= (host+n-1)>>c.clusterBits; cl++ {
		if err := c.change(cl, -1); err != nil {
			return err
		}
	}
	return nil
}

func (c *counts) change(cluster int64, by int) error {
	at := ondisk.At(layer, "refcount", cluster<<c.clusterBits)
	r, i, err := c.block(cluster)
	if err != nil {
		return err
	}
	if r.block == nil || by < 0 && r.get(i) == 0 {
		return at.Corrupt("a cluster in use has a count of zero; repair the image with qemu-img check -r all")
	}
	v := r.get(i)
	if by > 0 && v >= maxRefcount(c.order) {
		return at.TooBig("%d references are the most that %d bits hold", v, 1<<c.order)
	}
	v += uint64(by)
	r.set(i, v)
	if v == 0 {
		c.freed = append(c.freed, cluster)
	}
	width := max(8, int64(1)<<c.order) // bits that are written
	first := (i << c.order) / width * (width / 8)
	home := int64(c.table[cluster/c.blockEntries(c.order)])
	_, err = c.file.WriteAt(r.block[first:first+width/8], home+first)
	return err
}

// take gives n clusters that follow each other, with a count of one.
func (c *counts) take(n int64) (int64, error) {
	if n == 1 && len(c.freed) > 0 {
		cl := c.freed[len(c.freed)-1]
		c.freed = c.freed[:len(c.freed)-1]
		return cl << c.clusterBits, c.acquire(cl)
	}
	first, err := c.reserve(n)
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := c.acquire(first + i); err != nil {
			return 0, err
		}
	}
	return first << c.clusterBits, nil
}

// maxStrays is how many counted clusters behind the end of the file are passed
// over. A run that was cut leaves a few there, a forged image any number.
const maxStrays = 1 << 20

// reserve takes n clusters behind the end that nobody counts.
func (c *counts) reserve(n int64) (int64, error) {
	for free := int64(0); free < n; {
		v, err := c.get(c.next + free)
		if err != nil {
			return 0, err
		}
		free++
		if v == 0 {
			continue
		}
		c.next += free
		free = 0
		if c.strays++; c.strays > maxStrays {
			return 0, ondisk.At(layer, "refcount table", c.tableOff).
				Corrupt("more than %d clusters behind the end of the file are in use", maxStrays)
		}
	}
	if c.next+n > int64(offsetMask>>c.clusterBits) {
		return 0, ondisk.At(layer, "refcount table", c.tableOff).TooBig("no offset left for a cluster")
	}
	first := c.next
	c.next += n
	return first, nil
}

// ensure makes refcount block i. The block's own cluster is counted by itself or
// by another block, which is then made first.
func (c *counts) ensure(i int64) error {
	if i >= int64(len(c.table)) {
		if err := c.grow(i); err != nil {
			return err
		}
	}
	if c.table[i] != 0 {
		return nil
	}
	cl, err := c.reserve(1)
	if err != nil {
		return err
	}
	off := cl << c.clusterBits
	data := make([]byte, c.clusterSize())
	if _, err := c.file.WriteAt(data, off); err != nil {
		return err
	}
	c.blocks.Drop(off)
	c.table[i] = uint64(off)
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], uint64(off))
	if _, err := c.file.WriteAt(word[:], c.tableOff+i*8); err != nil {
		return err
	}
	return c.acquire(cl)
}

// grow moves the refcount table to a larger place, so that it has entry i and
// half as many again.
func (c *counts) grow(i int64) error {
	perTable := c.clusterSize() / 8
	clusters := ondisk.DivUp(i+i/2+64, perTable)
	if clusters<<c.clusterBits > maxRefcountTableBytes {
		clusters = maxRefcountTableBytes >> c.clusterBits
	}
	if clusters*perTable <= i {
		return ondisk.At(layer, "refcount table", c.tableOff).TooBig("the table has its largest size already")
	}
	first, err := c.reserve(clusters)
	if err != nil {
		return err
	}
	old, oldBytes := c.tableOff, int64(len(c.table))*8
	c.table = append(c.table, make([]uint64, clusters*perTable-int64(len(c.table)))...)
	c.tableOff = first << c.clusterBits
	raw := make([]byte, clusters<<c.clusterBits)
	for i, e := range c.table {
		binary.BigEndian.PutUint64(raw[i*8:], e)
	}
	if _, err := c.file.WriteAt(raw, c.tableOff); err != nil {
		return err
	}
	for k := range clusters {
		if err := c.acquire(first + k); err != nil {
			return err
		}
	}
	field := binary.BigEndian.AppendUint64(nil, uint64(c.tableOff))
	field = binary.BigEndian.AppendUint32(field, uint32(clusters))
	if _, err := c.file.WriteAt(field, offRefcountTable); err != nil {
		return err
	}
	return c.release(old, oldBytes)
}
