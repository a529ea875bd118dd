package vhdx

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Checker = Format{}

// Check reads both headers, both region tables, the metadata and all of the BAT,
// as they are after a replay of the log. Parents are not opened.
func (Format) Check(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, watch ondisk.Observer) (imagefmt.CheckResult, error) {
	limits := opts.Limits.OrDefault()
	t, err := readTables(src, limits)
	if err != nil {
		return imagefmt.CheckResult{}, err
	}
	c := &checker{tables: t, m: t.mapping(limits), used: usedMap{limit: limits.Table}}
	c.result.Blocks = t.blocks()
	c.fixedTables()
	return c.result, c.entries(ctx, watch)
}

type checker struct {
	*tables
	m      *mapping
	used   usedMap
	result imagefmt.CheckResult
}

// fixedTables checks what has copies, and marks what the tables occupy.
func (c *checker) fixedTables() {
	if !c.hdr.both {
		c.result.AddCorrupt(ondisk.At(layer, "header", c.hdr.other).Corrupt("it is not valid; the other one is used"))
	}
	if !c.sameTables {
		c.result.AddCorrupt(ondisk.At(layer, "region table", regionOffset2).Corrupt("one of the two is not valid, or they differ"))
	}
	c.result.End = max(c.bat.end(), c.regions.metadata.end())
	if err := c.log.check(ondisk.At(layer, "header", c.hdr.off), c.view.Size()); err != nil {
		c.result.AddCorrupt(err)
		return
	}
	c.result.End = max(c.result.End, c.log.end())
}

// entries checks the BAT.
func (c *checker) entries(ctx context.Context, watch ondisk.Observer) error {
	total := c.geometry.entries()
	for i := int64(0); i < total; i++ {
		if i%(sliceSize/8) == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			watch.Tell(ondisk.Event{Phase: "checking", Done: i, Total: total})
			if n, err := c.m.holeEntries(i); err != nil || n > 0 {
				if err != nil {
					return err
				}
				i += n - 1
				continue
			}
		}
		e, err := c.m.entry(i)
		if err != nil {
			return err
		}
		if err := c.entry(i, e); err != nil {
			return err
		}
	}
	watch.Tell(ondisk.Event{Phase: "checking", Done: total, Total: total})
	return nil
}

// entry checks one entry; what is wrong with it is in the result.
func (c *checker) entry(i int64, e uint64) error {
	n := c.block
	bitmap := c.isBitmap(i)
	if bitmap {
		n = bitmapSize
	}
	switch state := e & stateMask; {
	case state == fullyPresent || state == partly && c.diff && !bitmap:
	case state == notPresent || !bitmap && (state <= unmapped || state == unmappedOld):
		return nil
	default:
		c.result.AddCorrupt(c.m.at(i).Corrupt("state %d is not possible here", state))
		return nil
	}
	if e&stateMask == partly {
		if _, err := c.m.bitmap(c.payloadBefore(i)); failure(err) != nil {
			return err
		} else if err != nil {
			c.result.AddCorrupt(err)
		}
	}
	if !bitmap {
		c.result.Allocated++
	}
	if e&(mib-1)&^stateMask != 0 {
		c.result.AddCorrupt(c.m.at(i).Corrupt("%#016x has reserved bits set", e))
	}
	// Of the disk's last block only the bytes of the disk have to be there.
	need := n
	if !bitmap {
		need = min(n, c.size-c.payloadBefore(i)*c.block)
	}
	if err := c.m.checkStored(i, e, need); err != nil {
		c.result.AddCorrupt(err)
		return nil
	}
	host := int64(e & offsetMask)
	c.result.End = max(c.result.End, host+need)
	shared, err := c.used.mark(host/mib, n/mib)
	if shared {
		c.result.AddCorrupt(c.m.at(i).Corrupt("the block at %#x overlaps another one", host))
	}
	return err
}

// usedMap is a set of MiB of the file, which may be sparse and very long.
type usedMap struct {
	pages map[int64]*[usedPage / 64]uint64
	limit int64 // bytes that the pages may have
}

const usedPage = 32 << 10 // MiB that a page knows

// mark adds n MiB, and reports whether one of them was in the set.
func (u *usedMap) mark(first, n int64) (shared bool, err error) {
	if u.pages == nil {
		u.pages = map[int64]*[usedPage / 64]uint64{}
	}
	for i := first; i < first+n; i++ {
		p := u.pages[i/usedPage]
		if p == nil {
			if int64(len(u.pages)+1)*usedPage/8 > u.limit {
				return shared, ondisk.At(layer, "BAT", ondisk.NoOffset).TooBig("blocks are scattered over too large a file")
			}
			p = new([usedPage / 64]uint64)
			u.pages[i/usedPage] = p
		}
		word, bit := &p[i%usedPage/64], uint64(1)<<(i%64)
		shared = shared || *word&bit != 0
		*word |= bit
	}
	return shared, nil
}
