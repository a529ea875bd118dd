package vhd

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Creator = Format{}

// Extension is "vhd".
func (Format) Extension() string { return layer }

// Create starts an image. What makes the file one is written last: the footer of
// a fixed image, the header of a dynamic one. A size that is not whole sectors of
// 512 bytes, or whole MiB for Azure, is rounded up. A fixed image streams.
func (Format) Create(_ context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	s, err := newSettings(size, opts)
	if err != nil {
		return nil, err
	}
	if !s.fixed && !sink.Seekable() {
		return nil, ondisk.At(layer, "header", 0).Unsupported("a dynamic image cannot be written to a pipe, since its header comes last; name a file or use subformat=fixed")
	}
	f, err := newDiskFooter(s, opts)
	if err != nil {
		return nil, err
	}
	if s.fixed {
		return newFixedWriter(sink, s, f)
	}
	return newDynamicWriter(sink, s, f)
}

// newDiskFooter is a footer as Hyper-V writes it. Programs that take the size
// from the geometry know this creator for one whose size is exact.
func newDiskFooter(s settings, opts imagefmt.CreateOptions) (*diskFooter, error) {
	f := &diskFooter{
		Cookie:         [8]byte([]byte(footerCookie)),
		Features:       featureSet,
		Version:        version1,
		DataOffset:     noOffset,
		Creator:        [4]byte([]byte("win ")),
		CreatorVersion: 0x000A0000,
		CreatorHost:    [4]byte([]byte("Wi2k")),
		OriginalSize:   uint64(s.size),
		CurrentSize:    uint64(s.size),
		DiskType:       typeFixed,
	}
	if !s.fixed {
		f.DataOffset, f.DiskType = footerSize, typeDynamic
	}
	if opts.Now != nil {
		f.Timestamp = timestamp(opts.Now())
	}
	f.Cylinders, f.Heads, f.Sectors = chs(s.size / sectorSize)
	var err error
	f.UUID, err = newUUID(opts.Rand, s.size)
	return f, err
}

// timestamp is a time as the format counts it, from 2000 to 2136.
func timestamp(t time.Time) uint32 {
	return uint32(min(max(t.Unix()-epoch, 0), math.MaxUint32))
}

// newUUID is a random UUID (RFC 9562, version 4), or without a source one that
// follows from the disk's size (version 8), so that equal runs give equal images.
func newUUID(random io.Reader, size int64) (id [16]byte, err error) {
	version := byte(4)
	if random != nil {
		_, err = io.ReadFull(random, id[:])
	} else {
		version = 8
		h := fnv.New128a()
		h.Write(binary.BigEndian.AppendUint64([]byte(footerCookie), uint64(size)))
		h.Sum(id[:0])
	}
	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | 0x80
	return id, err
}
