package vdi

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Creator = Format{}

// Places in a new image. The data begins at a whole mebibyte, so that blocks lie
// where any file system can share them.
const (
	mapOffset = 0x200
	dataAlign = 1 << 20
)

// Extension is "vdi".
func (Format) Extension() string { return layer }

// Create starts an image. The header is written last, so that a run that is cut
// leaves no image. A size that is not whole sectors of 512 bytes is rounded up.
func (Format) Create(_ context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	s, err := newSettings(size, opts)
	if err != nil {
		return nil, err
	}
	if !sink.Seekable() {
		return nil, headerPlace.Unsupported("vdi cannot be written to a pipe, since its block map comes before the data; name a file")
	}
	h := newHeader(ondisk.AlignUp(size, sectorSize), s)
	if h.Image, h.Modification, err = identities(opts.Rand, size); err != nil {
		return nil, err
	}
	w := &writer{ascent: imagefmt.Ascent{Name: layer, Size: int64(h.DiskSize)}, hdr: h, sink: sink, static: s.static, sparse: sink.Zeroed() && !s.full, open: -1}
	w.table = newMapWriter(sink, int64(h.Blocks))
	w.settled = w.table.end()
	return w, w.prepare(s.reserve && sink.Zeroed())
}

// newHeader is the header of an image of size bytes, but for its UUIDs and the
// blocks of a dynamic image.
func newHeader(size int64, s settings) diskHeader {
	blocks := ondisk.DivUp(size, 1<<blockBits)
	h := diskHeader{
		Signature: signature, Version: version, HeaderSize: newHeaderSize, Type: typeDynamic,
		MapOffset: mapOffset, DataOffset: uint32(ondisk.AlignUp(mapOffset+blocks*entrySize, dataAlign)),
		SectorSize: sectorSize, LogicalSectorSize: sectorSize,
		DiskSize: uint64(size), BlockSize: 1 << blockBits, Blocks: uint32(blocks),
	}
	copy(h.Text[:], "<<< vmconv Virtual Disk Image >>>\n")
	if s.static {
		h.Type, h.Allocated = typeStatic, h.Blocks
	}
	return h
}

// encode is the first sector of the file.
func (h *diskHeader) encode() []byte {
	buf := make([]byte, mapOffset)
	// The struct has a fixed size and fits, so that encoding cannot fail.
	_, _ = binary.Encode(buf, binary.LittleEndian, h)
	return buf
}

// mapWriter writes the block map front to back, a window at a time.
type mapWriter struct {
	sink   imagefmt.Sink
	blocks int64
	first  int64  // block of the window's first entry
	window []byte // entries of blocks that have none yet are entryAbsent
}

const windowSize = 1 << 20

func newMapWriter(sink imagefmt.Sink, blocks int64) *mapWriter {
	m := &mapWriter{sink: sink, blocks: blocks, window: make([]byte, min(windowSize, blocks*entrySize))}
	m.blank()
	return m
}

func (m *mapWriter) blank() {
	for i := range m.window {
		m.window[i] = 0xff
	}
}

// end is the first byte of the file after the map.
func (m *mapWriter) end() int64 { return mapOffset + m.blocks*entrySize }

// set gives a block its place; blocks must ascend.
func (m *mapWriter) set(block, place int64) error {
	for block-m.first >= int64(len(m.window))/entrySize {
		if err := m.flush(); err != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint32(m.window[(block-m.first)*entrySize:], uint32(place))
	return nil
}

// flush writes the window and moves it on.
func (m *mapWriter) flush() error {
	part := m.window[:min(int64(len(m.window)), (m.blocks-m.first)*entrySize)]
	if _, err := m.sink.WriteAt(part, mapOffset+m.first*entrySize); err != nil {
		return err
	}
	m.first += int64(len(part)) / entrySize
	m.blank()
	return nil
}

// finish writes what is left of the map.
func (m *mapWriter) finish() error {
	for m.first < m.blocks {
		if err := m.flush(); err != nil {
			return err
		}
	}
	return nil
}
