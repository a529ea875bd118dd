package vmdk

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// tableSpan is how many bytes of the disk one grain table maps.
	tableSpan = defaultTableEntries * grainBytes
	// tableSectors is how much of the file it takes.
	tableSectors = tableBytes / sectorSize
	// maxFileSectors is what a grain table entry can point into: 2 TiB.
	maxFileSectors = 1 << 32
)

// sparseLayout says where things lie in a sparse extent, in sectors:
//
//	header | descriptor | redundant directory | its tables | directory | its tables | grains
//
// All tables have their place, whether they map something or not.
type sparseLayout struct {
	capacity   int64
	descriptor int64 // reserved for it; 0 is none
	tables     int64
	rgd        int64 // first sector of the redundant directory
	gd         int64 // and of the directory
	grains     int64 // and of the first grain, a multiple of the grain
}

func newSparseLayout(capacity, descriptor int64) sparseLayout {
	l := sparseLayout{capacity: capacity, descriptor: descriptor, tables: tablesOf(capacity)}
	l.rgd = 1 + descriptor
	l.gd = l.firstTable(l.rgd) + l.tables*tableSectors
	l.grains = ondisk.AlignUp(l.firstTable(l.gd)+l.tables*tableSectors, defaultGrainSectors)
	return l
}

// tablesOf is how many grain tables a disk needs.
func tablesOf(capacity int64) int64 { return ondisk.DivUp(capacity*sectorSize, tableSpan) }

// directorySectors is the size of a directory of so many tables; even an empty
// one has its place.
func directorySectors(tables int64) int64 {
	return max(1, ondisk.DivUp(tables*tableEntrySize, sectorSize))
}

// firstTable is where the tables behind a directory begin.
func (l *sparseLayout) firstTable(directory int64) int64 {
	return directory + directorySectors(l.tables)
}

func (l *sparseLayout) header() sparseHeader {
	h := sparseHeader{
		Magic: sparseMagic, Version: versionPlain, Flags: flagNewlineTest | flagRedundantGD,
		Capacity: uint64(l.capacity), GrainSize: defaultGrainSectors, TableEntries: defaultTableEntries,
		RGDOffset: uint64(l.rgd), GDOffset: uint64(l.gd), OverHead: uint64(l.grains),
		NewlineTest: newlineTest, Compression: compressionNone,
	}
	if l.descriptor > 0 {
		h.DescriptorOffset, h.DescriptorSize = 1, uint64(l.descriptor)
	}
	return h
}

// sparseExtent writes a sparse extent: grains in guest order, each table when
// the last of its grains came. One table is in memory.
type sparseExtent struct {
	sparseLayout
	sink  imagefmt.Sink
	text  []byte // the embedded descriptor, or nil
	next  int64  // sector of the next grain
	table [tableBytes]byte
	at    int64 // index of the table being filled; -1 before the first
}

func newSparseExtent(sink imagefmt.Sink, capacity int64, text []byte) (*sparseExtent, error) {
	reserved := int64(0)
	if text != nil {
		reserved = descriptorSectors
	}
	e := &sparseExtent{sparseLayout: newSparseLayout(capacity, reserved), sink: sink, text: text, at: -1}
	e.next = e.grains
	if int64(len(text)) > reserved*sectorSize {
		return nil, ondisk.At(layer, "descriptor", sectorSize).TooBig("%d bytes do not fit in %d sectors", len(text), reserved)
	}
	if sink.Zeroed() {
		return e, nil
	}
	return e, imagefmt.Allocate(sink, 0, e.grains*sectorSize, true)
}

// put stores the grains that are not zeros, neighbours at once.
func (e *sparseExtent) put(p []byte, off int64) error {
	for len(p) > 0 {
		n := min(len(p), grainBytes)
		if !ondisk.IsZero(p[:n]) {
			n = dataGrains(p[:min(int64(len(p)), tableSpan-off%tableSpan)])
			if err := e.store(p[:n], off); err != nil {
				return err
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// dataGrains is how many bytes of p come before its second grain of zeros; the
// first grain is known to be none.
func dataGrains(p []byte) int {
	n := min(len(p), grainBytes)
	for n < len(p) {
		end := min(len(p), n+grainBytes)
		if ondisk.IsZero(p[n:end]) {
			break
		}
		n = end
	}
	return n
}

// store writes grains of one table as they are.
func (e *sparseExtent) store(p []byte, off int64) error {
	if i := off / tableSpan; i != e.at {
		if err := e.endTable(); err != nil {
			return err
		}
		e.at = i
	}
	count := ondisk.DivUp(int64(len(p)), grainBytes)
	if e.next+count*defaultGrainSectors > maxFileSectors {
		return fileTooBig()
	}
	if err := e.write(p); err != nil {
		return err
	}
	first := off % tableSpan / grainBytes
	for i := first; i < first+count; i++ {
		binary.LittleEndian.PutUint32(e.table[i*tableEntrySize:], uint32(e.next))
		e.next += defaultGrainSectors
	}
	return nil
}

// write writes p to the next grains, where the file reads as zeros but for the
// pages of zeros in it.
func (e *sparseExtent) write(p []byte) error {
	off := e.next * sectorSize
	if e.sink.Zeroed() {
		return imagefmt.WriteSparse(e.sink, p, off)
	}
	_, err := e.sink.WriteAt(p, off)
	return err
}

func fileTooBig() error {
	return ondisk.At(layer, "grains", ondisk.NoOffset).TooBig("the file would pass 2 TiB, where grain tables end; choose a flat or a split subformat")
}

// endTable writes the table being filled, to both of its places.
func (e *sparseExtent) endTable() error {
	if e.at < 0 {
		return nil
	}
	for _, directory := range []int64{e.rgd, e.gd} {
		at := e.firstTable(directory) + e.at*tableSectors
		if _, err := e.sink.WriteAt(e.table[:], at*sectorSize); err != nil {
			return err
		}
	}
	clear(e.table[:])
	return nil
}

// finish writes the directories, and the header when all else is safe.
func (e *sparseExtent) finish() error {
	if err := e.endTable(); err != nil {
		return err
	}
	for _, directory := range []int64{e.rgd, e.gd} {
		if err := e.writeDirectory(directory); err != nil {
			return err
		}
	}
	if len(e.text) > 0 {
		if _, err := e.sink.WriteAt(e.text, sectorSize); err != nil {
			return err
		}
	}
	if err := e.sink.Truncate(e.next * sectorSize); err != nil {
		return err
	}
	if err := e.sink.Sync(); err != nil {
		return err
	}
	h := e.header()
	if _, err := e.sink.WriteAt(h.appendTo(nil), 0); err != nil {
		return err
	}
	return e.sink.Sync()
}

// writeDirectory writes one of the two directories, in steps.
func (e *sparseExtent) writeDirectory(directory int64) error {
	const step = 64 << 10
	p := make([]byte, 0, min(step, e.tables*tableEntrySize))
	off := directory * sectorSize
	for i := range e.tables {
		p = binary.LittleEndian.AppendUint32(p, uint32(e.firstTable(directory)+i*tableSectors))
		if len(p) < step && i+1 < e.tables {
			continue
		}
		if _, err := e.sink.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
		p = p[:0]
	}
	return nil
}
