package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Updater = Format{}

// Update opens an image for changes. Every write reaches file before WriteAt
// returns, data and tables both; Flush has nothing left to do. An image that was
// not closed cleanly, or that has an external data file, is refused.
func (Format) Update(ctx context.Context, file imagefmt.File, opts imagefmt.OpenOptions) (imagefmt.WritableImage, error) {
	limits := opts.Limits.OrDefault()
	h, err := readHeader(file, limits)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "header", 0)
	if h.has(incompatDirty) {
		return nil, at.Unsupported("the image was not closed cleanly; repair it with qemu-img check -r all before it is changed in place")
	}
	if h.has(incompatDataFile) {
		return nil, at.Unsupported("images with an external data file are not changed in place; use convert")
	}
	img, err := open(ctx, file, opts)
	if err != nil {
		return nil, err
	}
	u := &updater{img: img, file: file}
	if u.counts, err = loadCounts(file, h, limits); err == nil {
		err = u.checkCounts()
	}
	if err != nil {
		img.closeOthers()
		return nil, err
	}
	return u, nil
}

// updater is an image that is being changed: many readers or one writer.
type updater struct {
	mu     sync.RWMutex
	img    *image
	file   imagefmt.File
	counts *counts
	begun  bool // the image is marked as changed
}

var (
	_ imagefmt.WritableImage = (*updater)(nil)
	_ blockdev.Extenter      = (*updater)(nil)
)

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

// Flush has nothing to do; see [Format.Update].
func (u *updater) Flush(ctx context.Context) error { return ctx.Err() }

// Sync has nothing to do; the transaction below syncs.
func (u *updater) Sync() error { return nil }

// WriteAt writes in place where a cluster belongs to nobody else, and to a new
// cluster where it is shared, compressed, or not there.
func (u *updater) WriteAt(p []byte, off int64) (int, error) {
	if !ondisk.InRange(off, int64(len(p)), u.Size()) {
		return 0, fmt.Errorf("qcow2: write %d+%d outside a disk of %d bytes", off, len(p), u.Size())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.begin(); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		n, err := u.writeSome(p[done:], off+int64(done))
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// fixedTable is a part of the image that is no cluster of the guest.
type fixedTable struct {
	name   string
	off, n int64
}

func (u *updater) fixedTables() [3]fixedTable {
	h := u.img.hdr
	return [3]fixedTable{
		{"header", 0, 1},
		{"L1 table", int64(h.L1Offset), int64(h.L1Size) * 8},
		{"refcount table", u.counts.tableOff, int64(len(u.counts.table)) * 8},
	}
}

// checkCounts refuses counts that do not even know the image's own tables, since
// every decision to write in place rests on them.
func (u *updater) checkCounts() error {
	bits := u.img.m.clusterBits
	for _, t := range u.fixedTables() {
		for cl := t.off >> bits; cl<<bits < t.off+t.n; cl++ {
			v, err := u.counts.get(cl)
			if err != nil {
				return err
			}
			if v != 1 {
				return ondisk.At(layer, t.name, t.off).
					Corrupt("a cluster of it has a count of %d; repair the image with qemu-img check -r all", v)
			}
		}
	}
	return nil
}

// begin marks, before the first change, what the change makes invalid: the
// bitmaps, which do not learn of it, and every autoclear feature not known here.
func (u *updater) begin() error {
	if u.begun {
		return nil
	}
	h := u.img.hdr
	keep := h.Autoclear & autoclearBitmaps
	if keep != 0 && u.invalidateBitmaps() != nil {
		keep = 0
	}
	if h.Version >= 3 && h.Autoclear != keep {
		var word [8]byte
		binary.BigEndian.PutUint64(word[:], keep)
		if _, err := u.file.WriteAt(word[:], offAutoclear); err != nil {
			return err
		}
	}
	u.begun = true
	return nil
}

// invalidateBitmaps sets the in_use flag of each bitmap: it stays listed, so that
// its clusters are not lost, and nobody relies on it.
func (u *updater) invalidateBitmaps() error {
	const (
		flags = 12
		inUse = 1
	)
	b := u.img.hdr.bitmaps
	at := ondisk.At(layer, "bitmap directory", int64(b.offset))
	dir, err := ondisk.Bytes(u.file, int64(b.offset), int64(b.size))
	if err != nil {
		return at.Wrap(err)
	}
	for off := int64(0); off < int64(len(dir)); {
		if off+diskBitmapSize > int64(len(dir)) {
			return at.Corrupt("ends within an entry")
		}
		e := dir[off:]
		binary.BigEndian.PutUint32(e[flags:], binary.BigEndian.Uint32(e[flags:])|inUse)
		size := diskBitmapSize + int64(binary.BigEndian.Uint16(e[18:])) + int64(binary.BigEndian.Uint32(e[20:]))
		off += ondisk.AlignUp(size, 8)
	}
	_, err = u.file.WriteAt(dir, int64(b.offset))
	return err
}
