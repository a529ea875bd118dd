package lvm

import (
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// thinPool is the blocks that thin volumes share.
type thinPool struct {
	trees *thinTrees
	data  blockdev.Device
	block int64 // bytes
	err   error
}

// thinDevice is a thin volume; it reads only.
type thinDevice struct {
	pool   *thinPool
	root   uint64 // of its mappings
	size   int64
	origin blockdev.Device // what shows where nothing is mapped; may be nil or shorter
}

var _ blockdev.Extenter = (*thinDevice)(nil)

// thin is a device of a pool.
func (r *resolver) thin(s segment, n int64) (assembly.Piece, error) {
	name := s.config.string("thin_pool")
	pool := r.pool(name)
	if pool.err != nil {
		return nil, fmt.Errorf("thin pool %s: %w", name, pool.err)
	}
	id := s.config.number("device_id")
	if id < 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "device_id is wrong")
	}
	top, err := pool.trees.find(pool.trees.super.MappingRoot, uint64(id), 0)
	if err != nil {
		return nil, err
	}
	if !top.found {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "thin pool %s has no device %d", name, id)
	}
	d := &thinDevice{pool: pool, root: top.value, size: n}
	if from := s.config.string("external_origin"); from != "" {
		p, err := r.volume(from)
		if err != nil {
			return nil, fmt.Errorf("on %s: %w", from, err)
		}
		d.origin = assembly.Device(p)
	}
	return assembly.Opaque(d), nil
}

// pool opens a thin pool, once.
func (r *resolver) pool(name string) *thinPool {
	if p := r.pools[name]; p != nil {
		return p
	}
	p := &thinPool{}
	p.err = r.openPool(p, name)
	r.pools[name] = p
	return p
}

func (r *resolver) openPool(p *thinPool, name string) error {
	lv := r.lvs[name]
	if lv == nil || len(lv.segments) != 1 || lv.segments[0].kind != "thin-pool" {
		return ondisk.Because(ondisk.ErrCorrupt, "it is no thin pool")
	}
	if r.inPool {
		return ondisk.Because(ondisk.ErrUnsupported, "it lies on another pool")
	}
	r.inPool = true
	defer func() { r.inPool = false }()
	c := lv.segments[0].config
	meta, err := r.volume(c.string("metadata"))
	if err != nil {
		return err
	}
	data, err := r.volume(c.string("pool"))
	if err != nil {
		return err
	}
	p.data = assembly.Device(data)
	if p.trees, err = openThin(assembly.Device(meta), r.limits); err != nil {
		return err
	}
	p.block = int64(p.trees.super.DataBlock) * sector
	if n := c.number("chunk_size"); n != int64(p.trees.super.DataBlock) {
		return ondisk.Because(ondisk.ErrCorrupt, "chunk_size is %d sectors in the group, %d in the pool", n, p.trees.super.DataBlock)
	}
	if n := c.number("transaction_id"); n != int64(p.trees.super.Transaction) {
		r.note("thin pool %s: transaction %d in the group, %d in the pool", name, n, p.trees.super.Transaction)
	}
	return nil
}

func (d *thinDevice) Size() int64 { return d.size }

// at is where off lies in the data, and how many bytes follow it there or, where
// nothing is mapped, are unmapped too; these are at most n.
func (d *thinDevice) at(off, n int64) (place int64, mapped bool, left int64, err error) {
	block := d.pool.block
	r, err := d.pool.trees.find(d.root, uint64(off/block), 1)
	if err != nil {
		return 0, false, 0, err
	}
	left = n
	if r.n <= uint64((off%block+n)/block) {
		left = min(n, int64(r.n)*block-off%block)
	}
	if !r.found {
		return 0, false, left, nil
	}
	place, ok := ondisk.MulOK(int64(r.value>>timeBits), block)
	if !ok || !ondisk.InRange(place, off%block+left, d.pool.data.Size()) {
		return 0, false, 0, ondisk.At("lvm", "thin mapping", ondisk.NoOffset).Corrupt("block %d is beyond the pool", r.value>>timeBits)
	}
	return place + off%block, true, left, nil
}

func (d *thinDevice) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "negative offset %d", off)
	}
	done := 0
	for done < len(p) {
		if off >= d.size {
			return done, io.EOF
		}
		place, mapped, n, err := d.at(off, min(int64(len(p)-done), d.size-off))
		if err != nil {
			return done, err
		}
		if mapped {
			err = ondisk.Full(d.pool.data, p[done:done+int(n)], place)
		} else {
			err = d.readOrigin(p[done:done+int(n)], off)
		}
		if err != nil {
			return done, err
		}
		done, off = done+int(n), off+n
	}
	return done, nil
}

// readOrigin reads what shows where nothing is mapped.
func (d *thinDevice) readOrigin(p []byte, off int64) error {
	n := int64(0)
	if d.origin != nil {
		n = max(0, min(int64(len(p)), d.origin.Size()-off))
	}
	clear(p[n:])
	if n == 0 {
		return nil
	}
	return ondisk.Full(d.origin, p[:n], off)
}

func (d *thinDevice) NextExtent(off, n int64) (blockdev.Extent, error) {
	place, mapped, n, err := d.at(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	e := blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}
	switch {
	case mapped:
		e, err = blockdev.NextExtent(d.pool.data, place, n)
	case d.origin != nil && off < d.origin.Size():
		e, err = blockdev.NextExtent(d.origin, off, min(n, d.origin.Size()-off))
	}
	e.Off = off
	return e, err
}
