package vdi

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Updater = Format{}

// Update opens an image for changes. Every write reaches file before WriteAt
// returns, data, map and header; Flush has nothing left to do. It reads the whole
// block map: one that is damaged is ondisk.ErrCorrupt, since a block could then
// be stored over another.
func (Format) Update(ctx context.Context, file imagefmt.File, opts imagefmt.OpenOptions) (imagefmt.WritableImage, error) {
	limits := opts.Limits.OrDefault()
	img, err := open(file, limits)
	if err != nil {
		return nil, err
	}
	s, err := walk(ctx, file, img.m.header, limits, nil, func(err error) error { return err })
	if err != nil {
		return nil, err
	}
	if s.used != int64(s.Allocated) {
		return nil, headerPlace.In("blocks allocated").Corrupt("%d, and the map has %d; the image is not changed in place", s.Allocated, s.used)
	}
	return imagefmt.NewWritable(layer, img, &updater{img: img, file: file}), nil
}

// updater changes an image. The number of stored blocks in its header is kept up
// to date.
type updater struct {
	img   *image
	file  imagefmt.File
	begun bool // the image has a new modification UUID
}

// Flush has nothing to do; see [Format.Update].
func (u *updater) Flush() error { return nil }

// WriteSome writes in place where a block is stored, and to a new one at the end
// where it is not, unless zeros are written there: what lies together in the
// file, or what one new block takes.
func (u *updater) WriteSome(p []byte, off int64) (int, error) {
	m := u.img.m
	r, err := m.next(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if r.state != imagefmt.Stored {
		r.n = min(r.n, m.blockSize()-off&(m.blockSize()-1))
		if ondisk.IsZero(p[:r.n]) {
			return int(r.n), nil
		}
	}
	if err := u.begin(); err != nil {
		return 0, err
	}
	if r.state != imagefmt.Stored {
		if r.host, err = u.add(off); err != nil {
			return 0, err
		}
	}
	return u.file.WriteAt(p[:r.n], r.host)
}

// begin gives the image a new modification UUID before its first change.
func (u *updater) begin() error {
	if u.begun {
		return nil
	}
	next := u.img.m.Modification.next()
	if _, err := u.file.WriteAt(next[:], offModification); err != nil {
		return err
	}
	u.begun = true
	return nil
}

// add stores a block of zeros at the end for the one that holds guest offset off,
// and says where in the file that offset is now.
func (u *updater) add(off int64) (int64, error) {
	m := u.img.m
	block, place := off>>m.blockBits, m.Allocated
	if err := u.blank(m.place(int64(place)), m.stride()); err != nil {
		return 0, err
	}
	var word [entrySize]byte
	binary.LittleEndian.PutUint32(word[:], place)
	if _, err := u.file.WriteAt(word[:], int64(m.MapOffset)+block*entrySize); err != nil {
		return 0, err
	}
	slice, at, err := m.slice(block)
	if err != nil {
		return 0, err
	}
	copy(slice[at:], word[:]) // nobody reads it: the lock is held
	binary.LittleEndian.PutUint32(word[:], place+1)
	if _, err := u.file.WriteAt(word[:], offAllocated); err != nil {
		return 0, err
	}
	m.Allocated++
	return m.place(int64(place)) + int64(m.BlockExtra) + off&(m.blockSize()-1), nil
}

// blank makes n bytes from off, at the end of the file, zeros: over what lies
// there of the file, and then by making it longer.
func (u *updater) blank(off, n int64) error {
	size, end := u.file.Size(), off+n
	if size < end {
		if err := u.file.Truncate(end); err != nil {
			return err
		}
	}
	return imagefmt.WriteZeros(u.file, off, min(end, size)-off)
}
