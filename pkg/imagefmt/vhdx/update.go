package vhdx

import (
	"context"
	"math"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Updater = Format{}

// Update opens an image for changes. Every write reaches file before WriteAt
// returns, data and tables both; Flush has nothing left to do. An image whose log
// is not empty, or that has a parent, is refused.
func (Format) Update(ctx context.Context, file imagefmt.File, opts imagefmt.OpenOptions) (imagefmt.WritableImage, error) {
	h, err := readHeader(file)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "header", h.off)
	if h.Log != (guid{}) {
		return nil, at.Unsupported("the image was not closed cleanly; changes in place need an empty log, use convert")
	}
	if h.Sequence > math.MaxUint64-2 {
		return nil, at.Corrupt("sequence number %d cannot grow", h.Sequence)
	}
	t, err := readTables(file, opts.Limits.OrDefault())
	if err != nil {
		return nil, err
	}
	if t.diff {
		return nil, at.Unsupported("an image with a parent is not changed in place; use convert")
	}
	img, err := open(ctx, file, opts)
	if err != nil {
		return nil, err
	}
	return imagefmt.NewWritable(layer, img, &updater{img: img, file: file}), nil
}

// updater changes an image.
type updater struct {
	img   *image
	file  imagefmt.File
	begun bool  // the headers tell of the changes
	free  int64 // where the next block goes; 0 while that is not known
}

// Flush has nothing to do; see [Format.Update].
func (u *updater) Flush() error { return nil }

// WriteSome writes in place where a block is present, and else to a new one,
// unless there are only zeros to write. It goes as far as one run reaches.
func (u *updater) WriteSome(p []byte, off int64) (int, error) {
	r, err := u.img.m.next(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if r.kind != stored {
		r.n = min(r.n, u.img.m.block-off%u.img.m.block)
	}
	p = p[:r.n]
	if r.kind != stored && ondisk.IsZero(p) {
		return len(p), nil
	}
	if err := u.begin(); err != nil {
		return 0, err
	}
	if r.kind != stored {
		if r.host, err = u.allocate(off); err != nil {
			return 0, err
		}
	}
	return u.file.WriteAt(p, r.host)
}

// begin tells, before the first change, that this is no longer the same file and
// no longer the same content ([MS-VHDX] 2.2.2): a child of the image must find
// that out. Both headers get the new identities, one after the other, so that the
// current one is never overwritten before the other one is newer. The rest of
// their bytes stays as it is.
func (u *updater) begin() error {
	if u.begun {
		return nil
	}
	h := u.img.t.hdr
	raw := append([]byte(nil), h.raw...)
	seed := append(le.AppendUint64(nil, h.Sequence), raw[offFileWrite:offDataWrite+len(guid{})]...)
	file, data := derive("file write", seed), derive("data write", seed)
	copy(raw[offFileWrite:], file[:])
	copy(raw[offDataWrite:], data[:])
	for i, off := range [...]int64{h.other, h.off} {
		le.PutUint64(raw[offSequence:], h.Sequence+uint64(i)+1)
		seal(raw)
		if _, err := u.file.WriteAt(raw, off); err != nil {
			return err
		}
	}
	u.begun = true
	return nil
}

// allocate makes the block of off present, and says where off then lies.
func (u *updater) allocate(off int64) (int64, error) {
	m := u.img.m
	if u.free == 0 {
		end, err := m.end()
		if err != nil {
			return 0, err
		}
		u.free = max(end, ondisk.AlignUp(u.file.Size(), mib))
	}
	host := u.free
	end, ok := ondisk.AddOK(host, m.block)
	if !ok || uint64(host)&^offsetMask != 0 {
		return 0, ondisk.At(layer, "BAT", m.bat.off).TooBig("the file would have more than %d bytes", host)
	}
	if err := u.file.Truncate(end); err != nil {
		return 0, err
	}
	u.free, u.img.t.view.size = end, end
	i := m.payloadEntry(off / m.block)
	word := le.AppendUint64(nil, uint64(host)|fullyPresent)
	if _, err := u.file.WriteAt(word, m.bat.off+i*8); err != nil {
		return 0, err
	}
	m.slices.Drop(ondisk.AlignDown(m.bat.off+i*8, sliceSize))
	return host + off%m.block, nil
}

// end is the first byte behind everything that an entry of the BAT mentions,
// whatever its state: an image may keep room for blocks that are not present.
func (m *mapping) end() (int64, error) {
	end := int64(0)
	for i, total := int64(0), m.entries(); i < total; i++ {
		if i%(sliceSize/8) == 0 {
			n, err := m.holeEntries(i)
			if err != nil {
				return 0, err
			}
			if n > 0 {
				i += n - 1
				continue
			}
		}
		e, err := m.entry(i)
		if err != nil {
			return 0, err
		}
		// What lies far behind the end of the file was never anybody's room.
		if host := int64(e & offsetMask &^ (1 << 63)); host != 0 && host < m.file.Size() {
			end = max(end, host+m.block)
		}
	}
	return end, nil
}
