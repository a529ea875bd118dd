package vmdk

import (
	"bytes"
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Checker = Format{}

// Check reads the tables of all extents. Grains outside the file, in the tables
// or used twice are damage, and so is a redundant table that differs. Of a flat
// extent there is nothing to check but its length. The parent of a delta is not
// opened.
func (Format) Check(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, watch ondisk.Observer) (imagefmt.CheckResult, error) {
	img, err := assemble(ctx, src, opts, readOnly)
	if err != nil {
		return imagefmt.CheckResult{}, err
	}
	defer img.closeOthers()
	var r imagefmt.CheckResult
	for _, x := range img.extents {
		watch.Tell(ondisk.Event{Phase: "checking", Done: x.start, Total: img.Size()})
		if x.m == nil {
			r.Blocks++
			if x.file != nil {
				r.Allocated++
				r.End = max(r.End, x.base+x.size)
			}
			continue
		}
		c := checker{ctx: ctx, x: x, m: x.m, result: &r}
		if err := c.run(opts.Limits.OrDefault()); err != nil {
			return imagefmt.CheckResult{}, err
		}
	}
	return r, nil
}

// checker checks one sparse extent.
type checker struct {
	ctx    context.Context
	x      *extent
	m      *mapping
	result *imagefmt.CheckResult
	fixed  claims
	top    int64 // end of what the extent uses of its file
}

func (c *checker) run(limits ondisk.Limits) error {
	c.result.Blocks += ondisk.DivUp(c.m.size, c.m.grain)
	backup, err := c.backup()
	if err != nil {
		return err
	}
	if h := c.x.hosted; h != nil {
		if c.fixed, err = c.m.hostedClaims(h, backup); err != nil {
			c.result.AddCorrupt(ondisk.At(layer, "sparse header", 0).Wrap(err))
		}
	} else {
		c.fixed = claims{{0, sparseHeaderSize}}
		for i := range c.m.tables() {
			if off, err := c.m.locate(i); err == nil && off != 0 {
				c.fixed = append(c.fixed, claim{off, c.m.tableBytes()})
			}
		}
	}
	for _, f := range c.fixed {
		c.top = max(c.top, f.end())
	}
	// The file is checked in windows, so that the marks of a large one fit into
	// memory; the tables are read once for each.
	window := min(limits.Table/4*8*sectorSize, ondisk.AlignUp(c.m.file.Size(), sectorSize))
	for from := int64(0); from == 0 || from < c.m.file.Size(); from += max(window, 1) {
		if err := c.window(from, window); err != nil {
			return err
		}
	}
	c.result.End = max(c.result.End, c.top)
	return c.compare(backup)
}

// backup is the redundant directory; nil without one. One that is not in the
// file is noted.
func (c *checker) backup() ([]byte, error) {
	h := c.x.hosted
	if h == nil || !h.redundant() || c.m.loose != nil || len(c.m.dir) == 0 {
		return nil, nil
	}
	p, err := readBackup(c.m, h)
	if errors.Is(err, ondisk.ErrCorrupt) {
		c.result.AddCorrupt(err)
		return nil, nil
	}
	return p, err
}

// window marks what is used of n bytes of the file from off. The first one also
// counts and checks all entries.
func (c *checker) window(off, n int64) error {
	u := newUsage(off, n)
	for _, f := range c.fixed {
		if at, twice := u.mark(f.off, f.n); twice {
			c.result.AddCorrupt(ondisk.At(layer, "tables", f.off).Corrupt("they are used twice, at %#x", at))
		}
	}
	for i := range c.m.tables() {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.table(u, i, off == 0); err != nil {
			return err
		}
	}
	if h := c.x.hosted; h != nil && !h.packed() {
		c.leaks(u, min(off+n, c.m.file.Size()), int64(min(h.OverHead, 1<<40))*sectorSize)
	}
	return nil
}

// leaks notes room for a grain that nothing uses, before end. What lies before
// the first grain is set apart for tables.
func (c *checker) leaks(u *usage, end, grains int64) {
	u.gaps(end, c.m.grain, func(off, n int64) {
		from := max(off, grains)
		if n -= from - off; n >= c.m.grain {
			c.result.AddLeak(ondisk.At(layer, "file", from).Corrupt("%d bytes are not used", n))
		}
	})
}

func (c *checker) table(u *usage, i int64, first bool) error {
	t, at, err := c.m.table(i)
	if err != nil || t == nil {
		return err
	}
	begin := i * c.m.span()
	for e := int64(0); e < c.m.entries && begin+e*c.m.grain < c.m.size; e++ {
		cell, err := c.m.decode(t[e*c.m.entrySize:])
		n := min(c.m.grain, c.m.size-begin-e*c.m.grain)
		if err == nil && (cell.kind == plain || cell.kind == packed) {
			err = c.grain(u, cell, n, first)
		}
		if err != nil && (first || errors.Is(err, errTwice)) {
			c.result.AddCorrupt(ondisk.At(layer, "grain table", at).In("entry %d", e).Wrap(err))
		}
	}
	return nil
}

// errTwice is found in the window where it happens, everything else in the first.
var errTwice = ondisk.Because(ondisk.ErrCorrupt, "used twice")

// grain checks the place of one grain, of which n bytes belong to the disk.
func (c *checker) grain(u *usage, g cell, n int64, first bool) error {
	if g.kind == packed {
		n = sectorSize // how long it is stands in the file only
	}
	if first {
		c.result.Allocated++
	}
	if size := ondisk.AlignUp(c.m.file.Size(), sectorSize); !ondisk.InRange(g.host, n, size) {
		return ondisk.Because(ondisk.ErrCorrupt, "the grain at %#x ends beyond the end of the file (%d bytes)", g.host, size)
	}
	c.top = max(c.top, min(g.host+n, c.m.file.Size()))
	if at, twice := u.mark(g.host, n); twice {
		return ondisk.At(layer, "grain", g.host).In("at %#x", at).Wrap(errTwice)
	}
	return nil
}

// compare notes every redundant table that is not like the one it stands for.
func (c *checker) compare(backup []byte) error {
	if backup == nil {
		return nil
	}
	for i := range c.m.tables() {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		same, err := c.sameTables(i, tableAt(backup, i))
		if err != nil {
			return err
		}
		if !same {
			c.result.AddCorrupt(ondisk.At(layer, "redundant grain directory", ondisk.NoOffset).In("entry %d", i).
				Corrupt("its table is not like the first one"))
		}
	}
	return nil
}

func (c *checker) sameTables(i, off int64) (bool, error) {
	first, _, err := c.m.table(i)
	if err != nil || (first == nil) != (off == 0) {
		return false, err
	}
	if first == nil {
		return true, nil
	}
	second := make([]byte, len(first))
	err = ondisk.Full(c.m.file, second, off)
	if errors.Is(err, ondisk.ErrCorrupt) {
		return false, nil
	}
	return bytes.Equal(first, second), err
}
