package ext

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// sealSuper stages the superblock with the sums of the groups' counters: the
// kernel writes its own only now and then, and computes them at every mount.
func (e *editor) sealSuper() error {
	var blocks, inodes uint64
	for n := range e.v.groupCount {
		g, err := e.v.group(n)
		if err != nil {
			return err
		}
		blocks += uint64(g.freeClusters())
		inodes += uint64(g.freeInodes())
	}
	if inodes > uint64(e.v.inodeCount) || blocks > e.v.blockCount {
		return ondisk.At(layer, "group descriptors", ondisk.NoOffset).Corrupt("%d free blocks, %d free inodes", blocks, inodes)
	}
	return e.patchSuper(func(raw []byte) {
		le.PutUint32(raw[sbFreeBlocksLo:], uint32(blocks))
		if e.v.hasIncompat(fi64Bit) {
			le.PutUint32(raw[sbFreeBlocksHi:], uint32(blocks>>32))
		}
		le.PutUint32(raw[sbFreeInodes:], uint32(inodes))
		now := e.now.Unix()
		le.PutUint32(raw[sbWtime:], uint32(now))
		if e.v.super().RevLevel > 0 {
			raw[sbWtimeHi] = uint8(now >> 32)
		}
	})
}

// patchSuper changes the bytes of the superblock, seals and stages them.
func (e *editor) patchSuper(patch func(raw []byte)) error {
	nr, in := e.superPlace()
	block, err := e.superBlock(nr)
	if err != nil {
		return err
	}
	raw := block[in : in+superSize]
	patch(raw)
	sealSuper(raw)
	e.stage.Put(nr, block)
	return nil
}

func (e *editor) superPlace() (nr uint64, in int64) {
	return uint64(superOffset >> e.v.blockBits), superOffset & (e.v.blockSize - 1)
}

// superBlock is a copy of the block with the superblock. It may lie before the
// first block that belongs to a group.
func (e *editor) superBlock(nr uint64) ([]byte, error) {
	block := make([]byte, e.v.blockSize)
	return block, ondisk.Full(e.stage, block, e.v.byteOff(nr))
}

// write brings the session to the device. Once metadata is being written it
// cannot be cancelled: half of it would be no filesystem.
func (e *editor) write(ctx context.Context) error {
	if err := e.writeData(ctx); err != nil {
		return err
	}
	if err := e.dev.Sync(); err != nil {
		return err
	}
	super, _ := e.superPlace()
	var fresh, old []uint64
	for _, nr := range e.stage.Blocks() {
		if nr == super {
			continue
		}
		isNew, err := e.wasFree(nr)
		if err != nil {
			return err
		}
		if isNew {
			fresh = append(fresh, nr)
		} else {
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
func (e *editor) wasFree(nr uint64) (bool, error) {
	n := e.v.groupOf(nr)
	b, err := e.blocksAtStart(n)
	if err != nil {
		return false, err
	}
	return !b.has(uint32(nr - e.v.groupStart(n))), nil
}

func (e *editor) writeBlocks(nrs []uint64) error {
	slices.Sort(nrs)
	for _, nr := range nrs {
		if _, err := e.dev.WriteAt(e.stage.Block(nr), e.v.byteOff(nr)); err != nil {
			return err
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
	from, to := e.v.byteOff(r.logical), e.v.byteOff(r.phys)
	for left := e.v.byteOff(r.count); left > 0; {
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
