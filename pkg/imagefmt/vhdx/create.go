package vhdx

import (
	"context"
	"crypto/sha256"
	"io"
	"strconv"
	"unicode/utf16"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Creator = Format{}

// What new images say of themselves.
const (
	creator        = "vmconv"
	logicalSector  = 512
	physicalSector = 4096
)

// Extension is "vhdx".
func (Format) Extension() string { return layer }

// Create starts an image. The headers and the file identifier are written last,
// so that a run that is cut leaves no image. A size that is not whole sectors of
// 512 bytes is rounded up.
func (Format) Create(_ context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	s, err := newSettings(size, opts)
	if err != nil {
		return nil, err
	}
	if !sink.Seekable() {
		return nil, ondisk.At(layer, "headers", 0).Unsupported("VHDX cannot be written to a pipe, since its headers come last; name a file")
	}
	w := &writer{settings: s, sink: sink, zeroed: sink.Zeroed()}
	w.geometry = geometry{size: ondisk.AlignUp(size, logicalSector), block: s.blockSize, sector: logicalSector}
	w.place()
	w.ascent = imagefmt.Ascent{Name: layer, Size: w.size}
	if w.ids, err = newIDs(w.size, opts.Rand); err != nil {
		return nil, err
	}
	return w, w.begin()
}

// ids are the identities of a new image.
type ids struct{ fileWrite, dataWrite, disk guid }

// newIDs makes identities from rand, or from the size. They differ from each
// other whatever rand gives.
func newIDs(size int64, rand io.Reader) (ids, error) {
	seed := []byte(strconv.FormatInt(size, 10))
	if rand != nil {
		seed = make([]byte, 32)
		if _, err := io.ReadFull(rand, seed); err != nil {
			return ids{}, err
		}
	}
	return ids{
		fileWrite: derive("file write", seed),
		dataWrite: derive("data write", seed),
		disk:      derive("disk", seed),
	}, nil
}

// derive makes a GUID of version 4 that depends on nothing but its arguments.
func derive(what string, seed []byte) guid {
	sum := sha256.Sum256(append([]byte(what+"\x00"), seed...))
	g := guid(sum[:16])
	g[7] = g[7]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// place lays out the file: log, metadata, BAT, payload.
func (w *writer) place() {
	w.regions.log = region{"log", fixedArea, w.logSize}
	w.regions.metadata = region{"metadata", w.regions.log.end(), mib}
	w.bat = region{"BAT", w.regions.metadata.end(), max(mib, ondisk.AlignUp(w.entries()*8, mib))}
	w.free = w.bat.end()
}

// begin makes room: nothing that an old image left may show through the gaps, and
// a fixed image gets its blocks.
func (w *writer) begin() error {
	if !w.zeroed {
		if err := imagefmt.WriteZeros(w.sink, 0, w.bat.end()); err != nil {
			return err
		}
	}
	if !w.fixed {
		return nil
	}
	n := w.blocks() * w.block
	if w.preallocation != "off" {
		return imagefmt.Allocate(w.sink, w.free, n, w.preallocation == "full")
	}
	return w.sink.Truncate(w.free + n)
}

// fixedMetadata is the metadata region up to the end of its items.
func (w *writer) fixedMetadata() []byte {
	const n = metadataItems + 64
	p := make([]byte, n)
	encode(p, diskMetadataTable{Magic: metadataMagic, Count: 5})
	var flags uint32
	if w.fixed {
		flags = leaveAllocated
	}
	params := le.AppendUint32(le.AppendUint32(nil, uint32(w.block)), flags)
	at := uint32(metadataItems)
	for i, item := range []struct {
		id    guid
		flags uint32
		data  []byte
	}{
		{itemParameters, itemRequired, params},
		{itemSize, itemRequired | itemDisk, le.AppendUint64(nil, uint64(w.size))},
		{itemPage83, itemRequired | itemDisk, w.ids.disk[:]},
		{itemLogical, itemRequired | itemDisk, le.AppendUint32(nil, logicalSector)},
		{itemPhysical, itemRequired | itemDisk, le.AppendUint32(nil, physicalSector)},
	} {
		encode(p[32+i*32:], diskItem{ID: item.id, Offset: at, Length: uint32(len(item.data)), Flags: item.flags})
		at += uint32(copy(p[at:], item.data))
	}
	return p
}

// regionTable is both region tables' content.
func (w *writer) regionTable() []byte {
	p := make([]byte, regionSize)
	encode(p, diskRegionTable{Magic: regionMagic, Count: 2})
	encode(p[16:], diskRegion{ID: regionBAT, Offset: uint64(w.bat.off), Length: uint32(w.bat.n), Required: 1})
	encode(p[48:], diskRegion{ID: regionMetadata, Offset: uint64(w.regions.metadata.off), Length: uint32(w.regions.metadata.n), Required: 1})
	seal(p)
	return p
}

// header is a header with the given sequence number.
func (w *writer) header(sequence uint64) []byte {
	p := make([]byte, headerSize)
	encode(p, diskHeader{
		Magic: headerMagic, Version: 1, Sequence: sequence,
		FileWrite: w.ids.fileWrite, DataWrite: w.ids.dataWrite,
		LogOffset: uint64(w.regions.log.off), LogLength: uint32(w.regions.log.n),
	})
	seal(p)
	return p
}

// identifier is the beginning of the file.
func identifier() []byte {
	p := append([]byte(nil), identifierMagic[:]...)
	for _, u := range utf16.Encode([]rune(creator)) {
		p = le.AppendUint16(p, u)
	}
	return p
}
