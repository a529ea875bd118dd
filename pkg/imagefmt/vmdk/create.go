package vmdk

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Creator = Format{}

// Extension is "vmdk".
func (Format) Extension() string { return layer }

// Create starts an image. A size that is not whole sectors of 512 bytes is
// rounded up, as the format demands. The subformat streamOptimized, which
// opts.Compress chooses, can be written to a pipe; its writer is an
// imagefmt.PackedWriter. Split and flat subformats have more files, made by
// sink.Sibling and named after the sink. Where the sink is seekable, the sector
// that makes it an image is written last.
func (Format) Create(_ context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	s, err := newSettings(size, opts)
	if err != nil {
		return nil, err
	}
	if s.subformat != typeStream && !sink.Seekable() {
		return nil, ondisk.At(layer, "header", 0).Unsupported("%s cannot be written to a pipe; name a file, or choose %s", s.subformat, typeStream)
	}
	d := disk{settings: s, sink: sink, sectors: ondisk.DivUp(size, sectorSize)}
	single := s.subformat == typeMonolithicSparse || s.subformat == typeStream
	if d.names, err = newNames(sink.Name(), single); err != nil {
		return nil, err
	}
	if d.identity, err = newIdentity(opts.Rand); err != nil {
		return nil, err
	}
	switch s.subformat {
	case typeStream:
		return d.newStream()
	case typeMonolithicSparse:
		e, err := newSparseExtent(sink, d.sectors, d.embedded())
		return d.writer(e, err)
	}
	e, err := d.newExtentSet()
	return d.writer(e, err)
}

// disk is one that is being made.
type disk struct {
	settings
	identity identity
	names    names
	sink     imagefmt.Sink
	sectors  int64
}

func (d *disk) writer(b body, err error) (imagefmt.Writer, error) {
	if err != nil {
		return nil, err
	}
	return newWriter(b, d.sectors*sectorSize), nil
}

// embedded is the descriptor of an image of one file.
func (d *disk) embedded() []byte {
	return d.descriptorText(d.identity, d.sectors, []extentLine{{access: accessRW, sectors: d.sectors, kind: extentSparse, name: d.names.self}})
}
