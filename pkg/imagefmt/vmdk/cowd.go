package vmdk

import (
	"encoding/binary"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// cowdMapping prepares the tables of a vmfsSparse extent: those of a sparse one
// with larger tables and, mostly, grains of one sector.
func (o *opening) cowdMapping(src blockdev.Device, start int64) (*mapping, error) {
	at := ondisk.At(layer, "COWD header", 0)
	h, err := ondisk.Read[cowdHeader](src, 0, binary.LittleEndian)
	if err != nil {
		return nil, at.Wrap(err)
	}
	switch {
	case h.Version != 1:
		return nil, at.In("version").Unsupported("%d is not known", h.Version)
	case h.GrainSize == 0 || bits.OnesCount32(h.GrainSize) != 1:
		return nil, at.In("grain size").Corrupt("%d sectors", h.GrainSize)
	case h.GrainSize > maxGrainSectors:
		return nil, at.In("grain size").TooBig("%d sectors", h.GrainSize)
	case int64(h.Capacity) > o.limits.VirtualSize/sectorSize:
		return nil, at.In("capacity").TooBig("%d sectors, over the limit of %d bytes", h.Capacity, o.limits.VirtualSize)
	}
	m := o.newMapping(src, start, int64(h.Capacity)*sectorSize, int64(h.GrainSize)*sectorSize)
	m.entries, m.entrySize = cowdTableEntries, tableEntrySize
	m.decode = decodeCOWD
	if int64(h.GDEntries) < m.tables() {
		return nil, at.In("grain directory").Corrupt("%d entries for a disk that needs %d", h.GDEntries, m.tables())
	}
	m.dir, err = o.directory(src, "grain directory", uint64(h.GDOffset), m.tables()*tableEntrySize)
	if err != nil {
		return nil, err
	}
	m.locate = m.sectorTable
	return m, m.checkTables()
}

func decodeCOWD(p []byte) (cell, error) {
	if e := binary.LittleEndian.Uint32(p); e != grainAbsent {
		return cell{plain, int64(e) * sectorSize}, nil
	}
	return cell{kind: absent}, nil
}
