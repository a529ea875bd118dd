package vmdk

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Updater = Format{}

// Update opens a disk for changes: flat extents and sparse ones that are not
// compressed. Data and tables reach the files before WriteAt returns; Flush gives
// the disk a new CID. Streams, deltas, extents of snapshots and those that may
// only be read are refused, and so is a disk that was not closed cleanly, as it
// is while a machine runs.
func (Format) Update(ctx context.Context, file imagefmt.File, opts imagefmt.OpenOptions) (imagefmt.WritableImage, error) {
	h, err := readHead(file, opts.Limits.OrDefault())
	if err != nil {
		return nil, err
	}
	if err := h.refusal(); err != nil {
		return nil, err
	}
	if err := h.updatable(); err != nil {
		return nil, err
	}
	img, err := open(ctx, file, opts, toUpdate(file))
	if err != nil {
		return nil, err
	}
	u := &updater{img: img, file: file, sparse: map[*extent]*grower{}}
	if err := u.prepare(opts.Limits.OrDefault()); err != nil {
		img.closeOthers()
		return nil, err
	}
	return imagefmt.NewWritable(layer, img, u), nil
}

// toUpdate opens extents in the transaction of file.
func toUpdate(file imagefmt.File) sibling {
	return func(_ imagefmt.Source, name string) (imagefmt.Source, error) { return file.SiblingFile(name) }
}

// updatable refuses what is not changed in place, before another file is opened.
func (h *head) updatable() error {
	at := ondisk.At(layer, "descriptor", h.textAt)
	switch {
	case h.desc.hasParent():
		return at.Unsupported("a delta is not changed in place; use convert")
	case h.desc.trackPath != "":
		return at.Unsupported("VMware tracks this disk's changes in %q and would miss ours; use convert", h.desc.trackPath)
	case h.embedded != nil && h.embedded.packed():
		return at.Unsupported("a %s disk is not changed in place; use convert", h.desc.createType)
	}
	for i, x := range h.desc.extents {
		switch x.kind {
		case extentFlat, extentVMFS, extentSparse, extentZero:
		default:
			return at.In("extent %d", i).Unsupported("extents of type %s are not changed in place; use convert", x.kind)
		}
		if x.access != accessRW {
			return at.In("extent %d", i).Unsupported("the extent is %s; use convert", x.access)
		}
	}
	return nil
}

// updater changes a disk.
type updater struct {
	img     *image
	file    imagefmt.File
	sparse  map[*extent]*grower
	changed bool // since the CID was renewed
}

// prepare checks that no two parts of the disk share a byte of a file, since
// every write rests on that.
func (u *updater) prepare(limits ondisk.Limits) error {
	claims := map[string]claims{}
	if u.img.head.embedded == nil {
		claims[u.file.Identity()] = whole
	}
	for _, x := range u.img.extents {
		if x.file == nil {
			continue
		}
		if x.m != nil {
			g, err := newGrower(x, limits)
			if err != nil {
				return err
			}
			u.sparse[x] = g
			claims[x.file.Identity()] = append(claims[x.file.Identity()], whole...)
			continue
		}
		claims[x.file.Identity()] = append(claims[x.file.Identity()], claim{x.base, x.size})
	}
	for _, c := range claims {
		if err := c.check(); err != nil {
			return ondisk.At(layer, "descriptor", ondisk.NoOffset).Wrap(err)
		}
	}
	return nil
}

// WriteSome writes to the grains of an extent that are there, and to new ones at
// the end of the file where there are none and p has more than zeros.
func (u *updater) WriteSome(p []byte, off int64) (int, error) {
	u.changed = true
	x := u.img.extentAt(off)
	in := off - x.start
	p = p[:min(int64(len(p)), x.size-in)]
	return len(p), u.writeExtent(x, p, in)
}

func (u *updater) writeExtent(x *extent, p []byte, off int64) error {
	if g := u.sparse[x]; g != nil {
		return g.write(p, off)
	}
	if x.file == nil {
		if ondisk.IsZero(p) {
			return nil
		}
		return ondisk.At(layer, "extent", ondisk.NoOffset).Unsupported("an extent of zeros cannot hold data; use convert")
	}
	f, err := writable(x.file)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, x.base+off)
	return err
}

// writable is the file behind a source that Update opened.
func writable(src imagefmt.Source) (imagefmt.File, error) {
	if f, ok := src.(imagefmt.File); ok {
		return f, nil
	}
	return nil, ondisk.Because(ondisk.ErrReadOnly, "%s was opened for reading only", src.Name())
}

// Flush writes a new CID, by which deltas to the disk notice that it has changed.
func (u *updater) Flush() error {
	if !u.changed {
		return nil
	}
	if err := u.renewID(); err != nil {
		return err
	}
	u.changed = false
	return nil
}

// renewID puts the next CID over the digits of the old one, however many there
// are, and over its copy in the long content id.
func (u *updater) renewID() error {
	d, at := u.img.head.desc, u.img.head.textAt
	next := nextID(d.cid, d.cidDigits.n)
	digits := fmt.Appendf(nil, "%0*x", d.cidDigits.n, next)
	if _, err := u.file.WriteAt(digits, at+int64(d.cidDigits.off)); err != nil {
		return err
	}
	if d.longIDDigits.n == len(digits) && d.longIDTail == d.cid {
		if _, err := u.file.WriteAt(digits, at+int64(d.longIDDigits.off)); err != nil {
			return err
		}
		d.longIDTail = next
	}
	d.cid = next
	return nil
}

// nextID steps through all numbers of so many hexadecimal digits before one comes
// again. The two highest ones mean that there is no CID.
func nextID(id uint32, digits int) uint32 {
	mask := uint32(1)<<(4*digits) - 1
	if digits >= 8 {
		mask = noParent
	}
	for {
		if id = (id*1664525 + 1013904223) & mask; id < noParent-1 {
			return id
		}
	}
}
