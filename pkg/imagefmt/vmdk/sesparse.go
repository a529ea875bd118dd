package vmdk

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Entries of a seSparse extent have their kind in the highest four bits.
const (
	seEntryKind  = 60
	seDirEntry   = 0x10000000 // upper half of a grain directory entry
	seAbsent     = 0
	seUnmapped   = 1 // given back by the guest: zeros
	seZeroed     = 2
	seAllocated  = 3
	seIndexHigh  = 48 // these twelve bits are the low ones of a grain's number
	seIndexMask  = 1<<12 - 1
	seIndexShift = 12
)

// seMapping prepares the tables of a seSparse extent.
func (o *opening) seMapping(src blockdev.Device, start int64) (*mapping, error) {
	h, err := o.readSEHeader(src)
	if err != nil {
		return nil, err
	}
	m := o.newMapping(src, start, int64(h.Capacity)*sectorSize, seGrainSectors*sectorSize)
	m.entries, m.entrySize = seTableEntries, seEntrySize
	sectors := uint64(src.Size()) / sectorSize
	if h.TablesOffset > sectors || h.GrainsOffset > sectors {
		return nil, ondisk.At(layer, "seSparse header", 0).Corrupt("tables or grains are beyond the end of the file; the image is truncated")
	}
	if h.GDSize > sectors || int64(h.GDSize)*sectorSize < m.tables()*seEntrySize {
		return nil, ondisk.At(layer, "seSparse header", 0).In("grain directory").
			Corrupt("%d sectors for %d tables", h.GDSize, m.tables())
	}
	m.dir, err = o.directory(src, "grain directory", h.GDOffset, m.tables()*seEntrySize)
	if err != nil {
		return nil, err
	}
	tables, grains := int64(h.TablesOffset)*sectorSize, int64(h.GrainsOffset)*sectorSize
	m.locate = func(i int64) (int64, error) { return m.seTable(tables, i) }
	m.decode = func(p []byte) (cell, error) { return decodeSE(grains, p) }
	return m, m.checkTables()
}

func (o *opening) readSEHeader(src blockdev.Device) (*seHeader, error) {
	at := ondisk.At(layer, "seSparse header", 0)
	h, err := ondisk.Read[seHeader](src, 0, binary.LittleEndian)
	if err != nil {
		return nil, at.Wrap(err)
	}
	switch {
	case h.Magic != seMagic:
		return nil, at.Corrupt("no seSparse extent")
	case h.Version != seVersion:
		return nil, at.In("version").Unsupported("%#x is not known", h.Version)
	case h.GrainSize != seGrainSectors || h.TableSize != seTableSectors:
		return nil, at.Unsupported("grains of %d sectors, tables of %d", h.GrainSize, h.TableSize)
	case h.Flags != 0:
		return nil, at.In("flags").Unsupported("%#x are not known", h.Flags)
	case h.Capacity > uint64(o.limits.VirtualSize)/sectorSize:
		return nil, at.In("capacity").TooBig("%d sectors, over the limit of %d bytes", h.Capacity, o.limits.VirtualSize)
	case h.VolatileOffset > uint64(src.Size())/sectorSize:
		return nil, at.In("volatile header").Corrupt("sector %d is beyond the end of the file", h.VolatileOffset)
	}
	at = ondisk.At(layer, "volatile header", int64(h.VolatileOffset)*sectorSize)
	v, err := ondisk.Read[seVolatileHeader](src, int64(h.VolatileOffset)*sectorSize, binary.LittleEndian)
	switch {
	case err != nil:
		return nil, at.Wrap(err)
	case v.Magic != seVolatile:
		return nil, at.Corrupt("magic %#x", v.Magic)
	case v.Replay != 0:
		return nil, at.Unsupported("the journal holds changes that are not applied yet; start the machine once, or remove the snapshot with VMware's tools")
	}
	return &h, nil
}

// seTable is locate: a directory entry numbers the tables, which lie in one area.
func (m *mapping) seTable(base, i int64) (int64, error) {
	e := binary.LittleEndian.Uint64(m.dir[i*seEntrySize:])
	if e == 0 {
		return 0, nil
	}
	if e>>32 != seDirEntry {
		return 0, ondisk.At(layer, "grain directory", ondisk.NoOffset).In("entry %d", i).Corrupt("%#016x", e)
	}
	off := base + int64(e&0xffffffff)*m.tableBytes()
	return off, m.checkTable(i, off)
}

func decodeSE(base int64, p []byte) (cell, error) {
	switch e := binary.LittleEndian.Uint64(p); e >> seEntryKind {
	case seAbsent:
		if e != 0 {
			return cell{}, ondisk.Because(ondisk.ErrCorrupt, "%#016x is absent and has a place", e)
		}
		return cell{kind: absent}, nil
	case seUnmapped, seZeroed:
		return cell{kind: zeroed}, nil
	case seAllocated:
		index := e>>seIndexHigh&seIndexMask | e&(1<<seIndexHigh-1)<<seIndexShift
		if index > 1<<50 {
			return cell{}, ondisk.Because(ondisk.ErrCorrupt, "grain %#x does not exist", index)
		}
		return cell{plain, base + int64(index)*seGrainSectors*sectorSize}, nil
	default:
		return cell{}, ondisk.Because(ondisk.ErrCorrupt, "%#016x is of no known kind", e)
	}
}
