package vmdk

import (
	"context"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.RawDescriber = Format{}

// DescribeRaw writes the descriptor of a monolithicFlat or vmfs image whose
// extent is a raw disk that exists already. Its size has to be whole sectors.
func (Format) DescribeRaw(_ context.Context, sink imagefmt.Sink, raw string, size int64, opts imagefmt.CreateOptions) error {
	s, err := newSettings(size, opts)
	if err != nil {
		return err
	}
	place := ondisk.At(layer, "descriptor", 0)
	kind := extentFlat
	switch s.subformat {
	case typeMonolithicFlat:
	case typeVMFS:
		kind = extentVMFS
	default:
		return place.Unsupported("%s has its own extents: choose subformat=%s", s.subformat, typeMonolithicFlat)
	}
	if size%sectorSize != 0 {
		return place.Unsupported("%s has %d bytes, which are no whole sectors: make it longer first", raw, size)
	}
	if raw != filepath.Base(raw) || !quotable(raw) {
		return place.Unsupported("%q cannot be named in a descriptor", raw)
	}
	id, err := newIdentity(opts.Rand)
	if err != nil {
		return err
	}
	extent := extentLine{access: accessRW, sectors: size / sectorSize, kind: kind, name: raw}
	if _, err := sink.WriteAt(s.descriptorText(id, size/sectorSize, []extentLine{extent}), 0); err != nil {
		return err
	}
	return sink.Sync()
}
