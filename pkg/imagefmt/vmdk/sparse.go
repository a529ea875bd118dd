package vmdk

import (
	"encoding/binary"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// readSparseHeader reads and checks a header, or a footer, which is a copy of it.
func readSparseHeader(src blockdev.Device, off int64, limits ondisk.Limits) (*sparseHeader, error) {
	at := ondisk.At(layer, "sparse header", off)
	h, err := ondisk.Read[sparseHeader](src, off, binary.LittleEndian)
	if err != nil {
		return nil, at.Wrap(err)
	}
	if err := h.check(at, limits); err != nil {
		return nil, err
	}
	return &h, nil
}

func (h *sparseHeader) check(at ondisk.Place, limits ondisk.Limits) error {
	switch {
	case h.Magic != sparseMagic:
		return at.Format("no sparse extent")
	case h.Version < versionPlain || h.Version > versionStream:
		return at.In("version").Unsupported("%d is not known", h.Version)
	case h.has(flagNewlineTest) && h.NewlineTest != newlineTest:
		return at.Corrupt("the line ends in the header are changed: the file went through a transfer in text mode")
	case h.Flags&^flagsKnown != 0:
		return at.In("flags").Unsupported("%#x are not known", h.Flags&^flagsKnown)
	case h.Compression > compressionDeflate:
		return at.In("compression").Unsupported("method %d is not known", h.Compression)
	case h.packed() != h.has(flagMarkers):
		return at.In("flags").Unsupported("compressed grains and markers come together only")
	case h.Capacity > uint64(limits.VirtualSize)/sectorSize:
		return at.In("capacity").TooBig("%d sectors, over the limit of %d bytes", h.Capacity, limits.VirtualSize)
	case h.TableEntries == 0 || h.TableEntries > defaultTableEntries:
		return at.In("grain table").Corrupt("%d entries", h.TableEntries)
	}
	return h.checkGrain(at.In("grain size"))
}

func (h *sparseHeader) checkGrain(at ondisk.Place) error {
	switch {
	case h.GrainSize < minGrainSectors || bits.OnesCount64(h.GrainSize) != 1:
		return at.Corrupt("%d sectors", h.GrainSize)
	case h.GrainSize > maxGrainSectors || h.packed() && h.GrainSize > maxPackedGrain/sectorSize:
		return at.TooBig("%d sectors", h.GrainSize)
	}
	return nil
}

func (h *sparseHeader) has(flag uint32) bool { return h.Flags&flag != 0 }

// packed reports whether grains are compressed.
func (h *sparseHeader) packed() bool { return h.Compression == compressionDeflate }

// redundant reports whether there is a second grain directory.
func (h *sparseHeader) redundant() bool {
	return h.has(flagRedundantGD) && h.RGDOffset != 0 && h.RGDOffset != gdAtEnd && h.RGDOffset != h.GDOffset
}

// sparseMapping prepares the tables of an extent in the file src. Without a grain
// directory, which a stream may lack, the stream is walked.
func (o *opening) sparseMapping(src blockdev.Device, start int64) (*mapping, *sparseHeader, error) {
	h, err := readSparseHeader(src, 0, o.limits)
	if err != nil {
		return nil, nil, err
	}
	if h.packed() && h.GDOffset == gdAtEnd {
		footer, err := readFooter(src, h, o.limits)
		if err != nil {
			return nil, nil, err
		}
		if footer != nil {
			h = footer
		}
	}
	m := o.newMapping(src, start, int64(h.Capacity)*sectorSize, int64(h.GrainSize)*sectorSize)
	m.entries, m.entrySize = int64(h.TableEntries), tableEntrySize
	m.decode = h.decodeEntry
	if h.packed() {
		m.maxStored = 2*m.grain + 64 + grainMarkerSize
	}
	if h.packed() && (h.GDOffset == gdAtEnd || h.GDOffset == 0) {
		return m, h, o.scan(m, h.OverHead)
	}
	m.dir, err = o.directory(src, "grain directory", h.GDOffset, m.tables()*tableEntrySize)
	if err != nil {
		return nil, nil, err
	}
	m.locate = m.sectorTable
	return m, h, m.checkTables()
}

// directory reads a table of tables, within what all of a disk's may take.
func (o *opening) directory(src blockdev.Device, name string, sector uint64, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if sector == 0 || sector > uint64(src.Size())/sectorSize {
		return nil, ondisk.At(layer, name, 0).Corrupt("sector %#x is not in the file (%d bytes); the image is truncated", sector, src.Size())
	}
	at := ondisk.At(layer, name, int64(sector)*sectorSize)
	if err := o.spend(at, n); err != nil {
		return nil, err
	}
	p, err := ondisk.Bytes(src, int64(sector)*sectorSize, n)
	return p, at.Wrap(err)
}

// decodeEntry is the meaning of an entry of a grain table.
func (h *sparseHeader) decodeEntry(p []byte) (cell, error) {
	switch e := binary.LittleEndian.Uint32(p); {
	case e == grainAbsent:
		return cell{kind: absent}, nil
	case e == grainZeroed && h.has(flagZeroedGrains):
		return cell{kind: zeroed}, nil
	case e == grainZeroed:
		return cell{}, ondisk.Because(ondisk.ErrCorrupt, "a zeroed grain in an extent that has none")
	case h.packed():
		return cell{packed, int64(e) * sectorSize}, nil
	default:
		return cell{plain, int64(e) * sectorSize}, nil
	}
}
