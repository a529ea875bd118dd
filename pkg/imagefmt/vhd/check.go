package vhd

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Checker = Format{}

// Check reads the footers, the header, the block allocation table and the sector
// bitmaps. Of data it reads only what a bitmap hides: programs that ignore
// bitmaps, as QEMU does, see another disk there.
func (Format) Check(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, watch ondisk.Observer) (imagefmt.CheckResult, error) {
	var r imagefmt.CheckResult
	limits := opts.Limits.OrDefault()
	m, err := readMeta(src, limits)
	if err != nil {
		return r, err
	}
	m.checkFooters(&r)
	if m.header == nil {
		r.Allocated, r.Blocks = 1, 1
		r.End = m.footer.off + int64(len(m.footer.raw))
		if gap := m.footer.off - m.footer.size(); gap > 0 {
			r.AddLeak(ondisk.At(layer, "file", m.footer.size()).Wrap(fmt.Errorf("%d bytes between the disk and its footer", gap)))
		}
		return r, nil
	}
	c := checker{meta: m, src: src, blocks: newBlockMap(src, m.header, limits), result: &r, watch: watch}
	return r, c.run(ctx, limits)
}

// checkFooters compares the footer with its copy.
func (m *meta) checkFooters(r *imagefmt.CheckResult) {
	tail, twin := m.footers.tail, m.footers.copy
	if text := m.footers.fault(); text != "" {
		r.AddCorrupt(m.footer.place().Corrupt("%s", text))
	}
	if m.footer.DiskType == typeFixed {
		return
	}
	at := ondisk.At(layer, "copy of the footer", 0)
	switch {
	case twin == nil:
		r.AddCorrupt(at.Corrupt("it is missing"))
	case !twin.sound:
		r.AddCorrupt(at.In("checksum").Corrupt("%#08x is wrong", twin.Checksum))
	case tail != nil && tail.sound && (tail.UUID != twin.UUID || tail.CurrentSize != twin.CurrentSize ||
		tail.DataOffset != twin.DataOffset || tail.DiskType != twin.DiskType):
		r.AddCorrupt(at.Corrupt("it differs from the footer in its disk"))
	}
}

// checker checks the blocks of a sparse image.
type checker struct {
	meta   *meta
	src    imagefmt.Source
	blocks *blockMap
	result *imagefmt.CheckResult
	watch  ondisk.Observer
}

func (c *checker) run(ctx context.Context, limits ondisk.Limits) error {
	end := c.src.Size()
	if f := c.meta.footers.tail; f != nil {
		end = f.off
	}
	s := surveyor{m: c.meta, blocks: c.blocks, end: end, limit: limits.Table, broken: c.result.AddCorrupt}
	v, err := s.survey(ctx)
	if err != nil {
		return err
	}
	v.overlaps(c.result.AddCorrupt)
	c.leaks(v)
	c.result.Allocated = int64(len(v.blocks))
	c.result.Blocks = ondisk.DivUp(c.meta.footer.size(), c.blocks.blockSize)
	for i, b := range v.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.hidden(int64(b.block)); err != nil {
			return err
		}
		c.watch.Tell(ondisk.Event{Phase: "checking", Done: int64(i+1) * v.size, Total: int64(len(v.blocks)) * v.size})
	}
	return nil
}

// leaks tells of room for a block and more that nothing uses. Smaller gaps align
// blocks, or hold what other programs keep for themselves.
func (c *checker) leaks(v *survey) {
	v.each(func(before, next claim) {
		if next.off-before.end >= v.size {
			c.result.AddLeak(ondisk.At(layer, "file", before.end).Wrap(fmt.Errorf("%d bytes that nothing uses", next.off-before.end)))
		}
		c.result.End = max(before.end, next.end)
	})
	disk := ondisk.DivUp(c.meta.footer.size(), c.blocks.blockSize)
	for _, b := range v.blocks {
		if int64(b.block) >= disk {
			c.result.AddLeak(ondisk.At(layer, "block", int64(b.sector)*sectorSize).Wrap(fmt.Errorf("block %d lies behind the end of the disk", b.block)))
		}
	}
}

// hidden tells of bytes of a block that are not zeros and that its bitmap hides.
// In a differencing image what lies there means nothing.
func (c *checker) hidden(block int64) error {
	if c.meta.footer.DiskType == typeDifferencing {
		return nil
	}
	for in := int64(0); in < c.blocks.blockSize; {
		r, err := c.blocks.within(block*c.blocks.blockSize+in, c.blocks.blockSize-in)
		if err != nil {
			return err
		}
		in += r.n
		if r.stored {
			continue
		}
		zero, err := zeros(c.src, r.host, r.n)
		if err != nil {
			return ondisk.At(layer, "block", r.host).Wrap(err)
		}
		if !zero {
			c.result.AddLeak(ondisk.At(layer, "sector bitmap", r.host-in+r.n-c.blocks.bitmapSize).In("block %d", block).
				Wrap(fmt.Errorf("it hides bytes that are not zeros; programs that ignore it read another disk")))
			return nil
		}
	}
	return nil
}

// zeros reports whether n bytes of the file from off are zeros. Holes are not read.
func zeros(src blockdev.Device, off, n int64) (bool, error) {
	buf := make([]byte, min(n, 64<<10))
	for end := off + n; off < end; {
		e, err := blockdev.NextExtent(src, off, min(end-off, int64(len(buf))))
		if err != nil {
			return false, err
		}
		if e.Kind == blockdev.Data {
			p := buf[:e.Len]
			if err := ondisk.Full(src, p, off); err != nil || !ondisk.IsZero(p) {
				return false, err
			}
		}
		off = e.End()
	}
	return true, nil
}
