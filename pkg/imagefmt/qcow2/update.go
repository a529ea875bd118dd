package qcow2

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
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
	return imagefmt.NewWritable(layer, img, u), nil
}

// updater changes an image.
type updater struct {
	img    *image
	file   imagefmt.File
	counts *counts
	begun  bool // the image is marked as changed
}

// Flush has nothing to do; see [Format.Update].
func (u *updater) Flush() error { return nil }

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
