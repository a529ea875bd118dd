package vhd

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Updater = Format{}

// Update opens a fixed or dynamic image for changes; its size stays. What is
// written to a dynamic image reaches file at once, but for the footer behind new
// blocks, which Flush writes. Refused are images that others depend on being
// together with them: differencing ones, and those of a suspended machine.
func (Format) Update(ctx context.Context, file imagefmt.File, opts imagefmt.OpenOptions) (imagefmt.WritableImage, error) {
	limits := opts.Limits.OrDefault()
	m, err := readMeta(file, limits)
	if err != nil {
		return nil, err
	}
	if err := m.refuseUpdate(); err != nil {
		return nil, err
	}
	if m.footer.DiskType == typeFixed {
		img, err := newFixedImage(file, m)
		if err != nil {
			return nil, err
		}
		return &fixedUpdater{fixedImage: img, file: file}, nil
	}
	u := &updater{img: newSparseImage(file, m, limits), file: file, footer: m.footer.raw, end: m.footer.off}
	if err := u.checkBlocks(ctx, m, limits); err != nil {
		return nil, err
	}
	return imagefmt.NewWritable(layer, u.img, u), nil
}

// refuseUpdate is about images whose state a change would make worse.
func (m *meta) refuseUpdate() error {
	at := m.footer.place()
	switch {
	case m.footer.DiskType == typeDifferencing:
		return at.Unsupported("differencing images are not changed in place; use convert")
	case m.footer.SavedState != 0:
		return at.Unsupported("the image belongs to a machine that was suspended; it is not changed in place, use convert")
	case m.footer != m.footers.tail:
		return at.Corrupt("%s; the image is not changed in place, use convert", m.footers.fault())
	}
	return nil
}

// fixedUpdater writes to the disk before the footer, which stays as it is.
type fixedUpdater struct {
	*fixedImage
	file imagefmt.File
}

func (u *fixedUpdater) WriteAt(p []byte, off int64) (int, error) {
	if !ondisk.InRange(off, int64(len(p)), u.Size()) {
		return 0, fmt.Errorf("vhd: write %d+%d outside a disk of %d bytes", off, len(p), u.Size())
	}
	return u.file.WriteAt(p, off)
}

// Sync and Flush have nothing to do: no table changes, and the transaction syncs.
func (u *fixedUpdater) Sync() error                     { return nil }
func (u *fixedUpdater) Flush(ctx context.Context) error { return ctx.Err() }

// updater changes a dynamic image.
type updater struct {
	img    *sparseImage
	file   imagefmt.File
	footer []byte // in the bytes of whoever wrote it; nothing in it changes
	end    int64  // behind the blocks, where the footer belongs
	moved  bool   // the footer is not there yet
}

// checkBlocks refuses an image in which a write to one block could change
// another, or a table.
func (u *updater) checkBlocks(ctx context.Context, m *meta, limits ondisk.Limits) error {
	var first error
	broken := func(err error) {
		if first == nil {
			first = err
		}
	}
	s := surveyor{m: m, blocks: u.img.blocks, end: u.end, limit: limits.Table, broken: broken}
	v, err := s.survey(ctx)
	if err != nil {
		return err
	}
	v.overlaps(broken)
	return first
}

// Flush puts the footer behind the last block.
func (u *updater) Flush() error {
	if !u.moved {
		return nil
	}
	if _, err := u.file.WriteAt(u.footer, u.end); err != nil {
		return err
	}
	u.moved = false
	return nil
}

// WriteSome writes to a block in place; one that is not stored is added at the
// end, unless it stays zeros.
func (u *updater) WriteSome(p []byte, off int64) (int, error) {
	size := u.img.blocks.blockSize
	p = p[:min(int64(len(p)), size-off%size)]
	return len(p), u.writeBlock(p, off/size, off%size)
}

// writeBlock writes to block i from byte in.
func (u *updater) writeBlock(p []byte, i, in int64) error {
	b := u.img.blocks
	pos, err := b.place(i)
	if err != nil {
		return err
	}
	if pos == 0 {
		if ondisk.IsZero(p) {
			return nil
		}
		if pos, err = u.addBlock(i); err != nil {
			return err
		}
	}
	bitmap, err := b.bitmap(i, pos)
	if err != nil {
		return err
	}
	data := pos + b.bitmapSize
	from, to := in/sectorSize, ondisk.DivUp(in+int64(len(p)), sectorSize)
	set, end := b.sameBits(bitmap, from)
	missing := !set || end < to
	if missing {
		if err := u.clearEdges(bitmap, data, in, in+int64(len(p))); err != nil {
			return err
		}
	}
	if _, err := u.file.WriteAt(p, data+in); err != nil || !missing {
		return err
	}
	return u.storeBits(i, pos, bitmap, from, to)
}

// clearEdges makes zeros of the first and the last sector of the range [in, end)
// of a block, where they were not stored and are written only in part.
func (u *updater) clearEdges(bitmap []byte, data, in, end int64) error {
	for _, at := range [2]int64{in, end} {
		sector := at / sectorSize
		if at%sectorSize == 0 || bit(bitmap, sector) {
			continue
		}
		if _, err := u.file.WriteAt(make([]byte, sectorSize), data+sector*sectorSize); err != nil {
			return err
		}
	}
	return nil
}

// storeBits says that a block has the sectors [from, to).
func (u *updater) storeBits(i, pos int64, bitmap []byte, from, to int64) error {
	b := u.img.blocks
	changed := slices.Clone(bitmap)
	setBits(changed, from, to)
	first, end := from/8, ondisk.DivUp(to, 8)
	if _, err := u.file.WriteAt(changed[first:end], pos+first); err != nil {
		return err
	}
	b.bitmaps.Drop(i)
	b.bitmaps.Put(i, b.shared(changed))
	return nil
}

// addBlock puts block i behind the last one, over the footer, and makes it all
// zeros. All its sectors count as stored, so that no later write to it has to
// touch the bitmap.
func (u *updater) addBlock(i int64) (int64, error) {
	b := u.img.blocks
	data := dataStart(u.end, b.bitmapSize)
	pos, end := data-b.bitmapSize, data+b.blockSize
	if pos/sectorSize >= noBlock {
		return 0, ondisk.At(layer, "block allocation table", b.tableOff).In("entry %d", i).
			NoSpace("the file has no room for another block: VHD ends at 2 TiB")
	}
	p, k, err := b.slice(i)
	if err != nil {
		return 0, err
	}
	before := make([]byte, data-u.end) // what was the footer, and the bitmap
	copy(before[pos-u.end:], b.full)
	if _, err := u.file.WriteAt(before, u.end); err != nil {
		return 0, err
	}
	if err := u.file.Truncate(end); err != nil {
		return 0, err
	}
	entry := binary.BigEndian.AppendUint32(nil, uint32(pos/sectorSize))
	if _, err := u.file.WriteAt(entry, b.tableOff+i*tableEntrySize); err != nil {
		return 0, err
	}
	copy(p[k*tableEntrySize:], entry) // nobody reads while the lock is held
	b.bitmaps.Put(i, b.full)
	u.end, u.moved = end, true
	return pos, nil
}
