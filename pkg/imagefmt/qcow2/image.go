package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// image is an open image. It is safe for concurrent reads.
type image struct {
	src     imagefmt.Source
	hdr     *header
	info    imagefmt.Info
	m       *mapping
	backing imagefmt.Image  // nil without one
	data    imagefmt.Source // external data file; nil without one

	unpacked *ondisk.BlockCache[int64] // clusters of which only a part was wanted
	buffers  sync.Pool                 // of *[]byte, two clusters long: compressed input
}

var (
	_ imagefmt.Image    = (*image)(nil)
	_ blockdev.Extenter = (*image)(nil)
)

func open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (*image, error) {
	limits := opts.Limits.OrDefault()
	h, err := readHeader(src, limits)
	if err != nil {
		return nil, err
	}
	if err := h.refusal(); err != nil {
		return nil, err
	}
	img := &image{src: src, hdr: h}
	if img.info, err = describe(src, h, limits); err != nil {
		return nil, err
	}
	if img.m, err = loadMapping(src, h, limits); err != nil {
		return nil, err
	}
	img.unpacked = ondisk.NewBlockCache[int64](limits.Cache / 4)
	img.buffers.New = func() any {
		b := make([]byte, 2*h.clusterSize())
		return &b
	}
	if err := img.openOthers(ctx, opts); err != nil {
		img.closeOthers()
		return nil, err
	}
	return img, nil
}

// loadMapping reads the L1 table and checks that every L2 table lies in the file,
// so that a truncated image is found before its first byte is converted.
func loadMapping(src blockdev.Device, h *header, limits ondisk.Limits) (*mapping, error) {
	m := &mapping{
		geometry: h.geometry,
		file:     src,
		data:     src,
		version:  h.Version,
		external: h.has(incompatDataFile),
		l1Offset: int64(h.L1Offset),
		slices:   ondisk.NewBlockCache[int64](limits.Cache - limits.Cache/4),
	}
	raw, err := ondisk.Bytes(src, m.l1Offset, int64(h.L1Size)*8)
	if err != nil {
		return nil, ondisk.At(layer, "L1 table", m.l1Offset).Wrap(err)
	}
	m.l1 = make([]uint64, h.L1Size)
	for i := range m.l1 {
		m.l1[i] = binary.BigEndian.Uint64(raw[i*8:])
	}
	for i := range h.l1Entries(h.size()) {
		if _, err := m.tableOffset(i); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (img *image) openOthers(ctx context.Context, opts imagefmt.OpenOptions) (err error) {
	if img.data, err = openData(img.src, img.hdr); err != nil {
		return err
	}
	if img.data != nil {
		img.m.data = img.data
	}
	img.backing, err = openBacking(ctx, img.src, img.hdr, opts)
	return err
}

func (img *image) closeOthers() error {
	var errs []error
	if img.backing != nil {
		errs = append(errs, img.backing.Close())
	}
	if img.data != nil {
		errs = append(errs, img.data.Close())
	}
	return errors.Join(errs...)
}

// Close closes the image's file and every other file that it opened.
func (img *image) Close() error { return errors.Join(img.closeOthers(), img.src.Close()) }

func (img *image) Size() int64 { return img.hdr.size() }

func (img *image) Info() imagefmt.Info { return img.info }

// ReadAt reads guest bytes; neighbours on the host are read at once.
func (img *image) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, img.Size(), func(p []byte, off int64) (int, error) {
		r, err := img.m.next(off, int64(len(p)))
		if err != nil {
			return 0, err
		}
		return int(r.n), img.readRun(p[:r.n], off, r)
	})
}

// readRun fills p, the bytes of run r, which begins at guest offset off.
func (img *image) readRun(p []byte, off int64, r run) error {
	switch r.kind {
	case plain:
		return ondisk.At(layer, "data cluster", r.host).Wrap(ondisk.Full(img.m.data, p, r.host))
	case packed:
		return ondisk.At(layer, "compressed cluster", r.host).Wrap(img.readPacked(p, off, r))
	case unallocated:
		return imagefmt.ReadBelow(img.backing, p, off)
	default:
		clear(p)
		return nil
	}
}

// readPacked decodes a compressed cluster: straight into p when all of it is
// wanted, else by way of a small cache, for small reads one after another.
func (img *image) readPacked(p []byte, off int64, r run) error {
	in := off & (img.m.clusterSize() - 1)
	if in == 0 && int64(len(p)) == img.m.clusterSize() {
		return img.unpack(p, r)
	}
	whole := img.unpacked.Get(off - in)
	if whole == nil {
		whole = make([]byte, img.m.clusterSize())
		if err := img.unpack(whole, r); err != nil {
			return err
		}
		whole = img.unpacked.Put(off-in, whole)
	}
	copy(p, whole[in:])
	return nil
}

// unpack decodes the cluster of r into dst, a whole cluster.
func (img *image) unpack(dst []byte, r run) error {
	buf := img.buffers.Get().(*[]byte)
	defer img.buffers.Put(buf)
	stored := min(r.stored, img.m.file.Size()-r.host, int64(len(*buf)))
	in := (*buf)[:stored]
	if err := ondisk.Full(img.m.file, in, r.host); err != nil {
		return err
	}
	return decompress(img.hdr.compression, dst, in)
}
