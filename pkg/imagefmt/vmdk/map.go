package vmdk

import "github.com/vmconv/vmconv/pkg/imagefmt"

var _ imagefmt.Mapper = (*image)(nil)

// NextMapEntry tells grains that are stored from those that are not; bytes of a
// flat extent are all Stored, whether or not they are a hole of the file.
func (img *image) NextMapEntry(off, n int64) (imagefmt.MapEntry, error) {
	if err := img.inside(off, n); err != nil {
		return imagefmt.MapEntry{}, err
	}
	x, r, err := img.next(off, n)
	if err != nil {
		return imagefmt.MapEntry{}, err
	}
	e := imagefmt.MapEntry{Off: off, Len: r.n, HostOff: -1}
	switch r.kind {
	case plain:
		e.State, e.File, e.HostOff = imagefmt.Stored, x.file.Name(), r.host
	case packed:
		e.State, e.File = imagefmt.Compressed, x.file.Name()
	case zeroed:
		e.State = imagefmt.Zero
	case absent:
		return imagefmt.MapBelow(img.parent, off, r.n)
	}
	return e, nil
}
