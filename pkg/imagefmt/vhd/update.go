package vhd

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
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
	return u, nil
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
	if err := inDisk(p, off, u.Size()); err != nil {
		return 0, err
	}
	return u.file.WriteAt(p, off)
}

// Sync and Flush have nothing to do: no table changes, and the transaction syncs.
func (u *fixedUpdater) Sync() error                     { return nil }
func (u *fixedUpdater) Flush(ctx context.Context) error { return ctx.Err() }

func inDisk(p []byte, off, size int64) error {
	if !ondisk.InRange(off, int64(len(p)), size) {
		return fmt.Errorf("vhd: write %d+%d outside a disk of %d bytes", off, len(p), size)
	}
	return nil
}

// updater is a dynamic image that is being changed: many readers or one writer.
type updater struct {
	mu     sync.RWMutex
	img    *sparseImage
	file   imagefmt.File
	footer []byte // in the bytes of whoever wrote it; nothing in it changes
	end    int64  // behind the blocks, where the footer belongs
	moved  bool   // the footer is not there yet
}

var (
	_ imagefmt.WritableImage = (*fixedUpdater)(nil)
	_ imagefmt.WritableImage = (*updater)(nil)
	_ imagefmt.Mapper        = (*updater)(nil)
)

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

func (u *updater) Size() int64         { return u.img.Size() }
func (u *updater) Info() imagefmt.Info { return u.img.Info() }
func (u *updater) Close() error        { return u.img.Close() }

func (u *updater) ReadAt(p []byte, off int64) (int, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.img.ReadAt(p, off)
}

func (u *updater) NextExtent(off, n int64) (blockdev.Extent, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.img.NextExtent(off, n)
}

func (u *updater) NextMapEntry(off, n int64) (imagefmt.MapEntry, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.img.NextMapEntry(off, n)
}

// Sync has nothing to do; the transaction below syncs.
func (u *updater) Sync() error { return nil }

// Flush puts the footer behind the last block.
func (u *updater) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.moved {
		return nil
	}
	if _, err := u.file.WriteAt(u.footer, u.end); err != nil {
		return err
	}
	u.moved = false
	return nil
}

// WriteAt writes to blocks in place; blocks that are not stored are added at the
// end, unless they stay zeros.
func (u *updater) WriteAt(p []byte, off int64) (int, error) {
	if err := inDisk(p, off, u.Size()); err != nil {
		return 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	size := u.img.blocks.blockSize
	for done := 0; done < len(p); {
		at := off + int64(done)
		part := p[done:min(int64(len(p)), int64(done)+size-at%size)]
		if err := u.writeBlock(part, at/size, at%size); err != nil {
			return done, err
		}
		done += len(part)
	}
	return len(p), nil
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
