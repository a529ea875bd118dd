package vmdk

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// sibling opens an extent that a descriptor names.
type sibling func(src imagefmt.Source, name string) (imagefmt.Source, error)

// readOnly is how extents are opened that nobody changes.
func readOnly(src imagefmt.Source, name string) (imagefmt.Source, error) { return src.Sibling(name) }

// opening is a disk whose parts are being collected. All of them share one budget
// for directories and one cache for tables.
type opening struct {
	ctx     context.Context
	limits  ondisk.Limits
	sibling sibling
	src     imagefmt.Source
	left    int64 // bytes that directories may still take
	tables  *ondisk.BlockCache[int64]
	others  map[string]imagefmt.Source // opened by name, each once
}

// spend takes n bytes from the budget for directories.
func (o *opening) spend(at ondisk.Place, n int64) error {
	if o.left -= n; o.left < 0 {
		return at.TooBig("the tables of the disk take more than %d bytes", o.limits.Table)
	}
	return nil
}

// extent is a piece of the disk, and where its bytes come from: tables, a range
// of a file, or nowhere.
type extent struct {
	start, size int64           // bytes, on the disk
	file        imagefmt.Source // nil: the extent is zeros
	m           *mapping        // nil: the bytes lie plainly in file, from base
	base        int64
	line        extentLine
	hosted      *sparseHeader // of a KDMV extent
}

func (x *extent) end() int64 { return x.start + x.size }

// next is the run from off, an offset in the extent.
func (x *extent) next(off, n int64) (run, error) {
	switch {
	case x.m != nil:
		return x.m.next(off, n)
	case x.file != nil:
		return run{n: n, kind: plain, host: x.base + off}, nil
	default:
		return run{n: n, kind: zeroed}, nil
	}
}

// open opens the whole disk, with the parent of a delta.
func open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, sib sibling) (*image, error) {
	img, err := assemble(ctx, src, opts, sib)
	if err != nil {
		return nil, err
	}
	if img.parent, err = openParent(ctx, src, img.head, opts); err != nil {
		img.closeOthers()
		return nil, err
	}
	return img, nil
}

// assemble opens a disk's own files.
func assemble(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, sib sibling) (*image, error) {
	limits := opts.Limits.OrDefault()
	h, err := readHead(src, limits)
	if err != nil {
		return nil, err
	}
	if err := h.refusal(); err != nil {
		return nil, err
	}
	o := &opening{
		ctx: ctx, limits: limits, sibling: sib, src: src, left: limits.Table,
		tables: ondisk.NewBlockCache[int64](limits.Cache / 2),
		others: map[string]imagefmt.Source{},
	}
	img := &image{
		src: src, head: h, info: h.describe(), tables: o.tables,
		grains: ondisk.NewBlockCache[int64](limits.Cache / 4),
	}
	img.buffers = sync.Pool{New: func() any { return new([]byte) }}
	img.extents, err = o.collect(h)
	for _, f := range o.others {
		img.others = append(img.others, f)
	}
	if err != nil {
		img.closeOthers()
		return nil, err
	}
	img.noteGrains()
	return img, nil
}

// collect opens all extents.
func (o *opening) collect(h *head) ([]*extent, error) {
	if h.embedded != nil {
		x := &extent{size: h.size, file: o.src, line: h.desc.extents[0]}
		return []*extent{x}, o.openSparse(x)
	}
	var all []*extent
	start := int64(0)
	for i, line := range h.desc.extents {
		if err := o.ctx.Err(); err != nil {
			return nil, err
		}
		x := &extent{start: start, size: line.sectors * sectorSize, line: line}
		if err := o.openExtent(x); err != nil {
			return nil, ondisk.At(layer, "descriptor", ondisk.NoOffset).In("extent %d (%q)", i, line.name).Wrap(err)
		}
		start = x.end()
		if x.size > 0 {
			all = append(all, x)
		}
	}
	return all, nil
}

func (o *opening) openExtent(x *extent) (err error) {
	switch x.line.kind {
	case extentFlat, extentVMFS, extentSparse, extentVMFSSparse, extentSESparse:
	case extentZero:
		return nil
	case extentVMFSRDM, extentVMFSRaw:
		return ondisk.Because(ondisk.ErrUnsupported, "type %s: the data lies on a device of the host that wrote it", x.line.kind)
	default:
		return ondisk.Because(ondisk.ErrUnsupported, "type %q is not known", x.line.kind)
	}
	if x.line.access == accessDenied {
		return nil
	}
	if x.file, err = o.file(x.line.name); err != nil {
		return err
	}
	switch x.line.kind {
	case extentFlat, extentVMFS:
		return o.openFlat(x)
	default:
		return o.openSparse(x)
	}
}

// file opens a file of the disk by its name. Extents that share one share the
// handle, too.
func (o *opening) file(name string) (imagefmt.Source, error) {
	if f := o.others[name]; f != nil {
		return f, nil
	}
	if name == "" {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "no file is named")
	}
	f, err := o.sibling(o.src, name)
	if err != nil {
		return nil, err
	}
	o.others[name] = f
	return f, nil
}

func (o *opening) openFlat(x *extent) error {
	x.base = x.line.offset * sectorSize
	if !ondisk.InRange(x.base, x.size, x.file.Size()) {
		return ondisk.Because(ondisk.ErrCorrupt, "%d bytes from %d are not in the file of %d bytes; it is truncated", x.size, x.base, x.file.Size())
	}
	return nil
}

// openSparse goes by the magic of the file: the types SPARSE and VMFSSPARSE are
// both met with either kind of tables.
func (o *opening) openSparse(x *extent) (err error) {
	magic := make([]byte, 16)
	if n, err := x.file.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < len(magic) {
		return ondisk.Because(ondisk.ErrCorrupt, "the file is truncated")
	}
	switch word := binary.LittleEndian.Uint32(magic); {
	case word == sparseMagic:
		x.m, x.hosted, err = o.sparseMapping(x.file, x.start)
	case word == cowdMagic:
		x.m, err = o.cowdMapping(x.file, x.start)
	case isSESparse(magic):
		x.m, err = o.seMapping(x.file, x.start)
	default:
		err = ondisk.Because(ondisk.ErrCorrupt, "the file is no sparse extent")
	}
	if err == nil && x.m.size < x.size {
		err = ondisk.Because(ondisk.ErrCorrupt, "the descriptor says %d bytes, the extent %d", x.size, x.m.size)
	}
	return err
}
