package xfs

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// write brings the session to the device. Once metadata is being written it cannot
// be cancelled: half of it would be no filesystem.
func (e *editor) write(ctx context.Context) error {
	if err := e.writeData(ctx); err != nil {
		return err
	}
	if err := e.dev.Sync(); err != nil {
		return err
	}
	if s := e.base.unended; s != nil {
		if err := e.base.log().clear(e.dev, s); err != nil {
			return err
		}
		e.base.unended = nil
	}
	const super = 0
	var fresh, old []uint64
	for _, nr := range e.stage.Blocks() {
		switch {
		case nr == super:
		case e.wasFree(nr):
			fresh = append(fresh, nr)
		default:
			old = append(old, nr)
		}
	}
	for _, step := range [][]uint64{fresh, old, {super}} {
		if err := e.writeBlocks(step); err != nil {
			return err
		}
	}
	return nil
}

// wasFree reports whether a block belonged to nothing when the session began.
func (e *editor) wasFree(nr uint64) bool {
	g := e.space.groups[uint32(nr/uint64(e.v.agBlocks))]
	if g == nil {
		return false
	}
	b := extent{uint32(nr % uint64(e.v.agBlocks)), 1}
	return g.avail.meets(b) || g.taken.meets(b)
}

func (e *editor) writeBlocks(nrs []uint64) error {
	for _, nr := range nrs {
		if p := e.stage.Block(nr); p != nil {
			if _, err := e.dev.WriteAt(p, int64(nr)<<e.v.blockBits); err != nil {
				return err
			}
		}
	}
	return e.dev.Sync()
}

// writeData copies the content of files to their blocks, by place on the device.
func (e *editor) writeData(ctx context.Context) error {
	type piece struct {
		run
		content blockdev.Device
	}
	var all []piece
	for _, p := range e.pending {
		for _, r := range p.runs {
			all = append(all, piece{r, p.content})
		}
	}
	slices.SortFunc(all, func(a, b piece) int { return cmp.Compare(a.phys, b.phys) })
	buf := make([]byte, max(1<<20, e.v.blockSize))
	for _, p := range all {
		if err := e.writeRun(ctx, p.content, p.run, buf); err != nil {
			return err
		}
	}
	return nil
}

// writeRun copies one run. What the last block holds beyond the end is zero.
func (e *editor) writeRun(ctx context.Context, content blockdev.Device, r run, buf []byte) error {
	from, to := int64(r.logical)<<e.v.blockBits, e.v.byteOff(r.phys)
	for left := int64(r.count) << e.v.blockBits; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(left, int64(len(buf)))]
		n := min(int64(len(p)), max(0, content.Size()-from))
		if got, err := content.ReadAt(p[:n], from); int64(got) < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		clear(p[n:])
		if _, err := e.dev.WriteAt(p, to); err != nil {
			return err
		}
		from, to, left = from+int64(len(p)), to+int64(len(p)), left-int64(len(p))
	}
	return nil
}
