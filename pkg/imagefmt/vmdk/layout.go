package vmdk

import "encoding/binary"

// layer is the format's name in errors and for -f and -O.
const layer = "vmdk"

// All integers of the format are little-endian; places and lengths count in
// sectors. The names are those of the Virtual Disk Format 5.0 specification.
const (
	sectorSize = 512

	sparseMagic = 0x564d444b // "KDMV"
	cowdMagic   = 0x44574f43 // "COWD"
	seMagic     = 0xcafebabe // constant header of a seSparse extent
	seVolatile  = 0xcafecafe // its volatile header

	sparseHeaderSize = 512
	cowdHeaderSize   = 2048
	markerSize       = 16 // of a metadata marker, as far as it is used
	grainMarkerSize  = 12 // before the compressed data of a grain

	defaultGrainSectors = 128 // 64 KiB
	defaultTableEntries = 512 // grain table entries of one table
	tableEntrySize      = 4   // of a grain table and a grain directory
	tableBytes          = defaultTableEntries * tableEntrySize

	minGrainSectors = 8       // the specification's minimum
	maxGrainSectors = 1 << 21 // 1 GiB
	maxPackedGrain  = 32 << 20

	descriptorSectors = 20      // that VMware and QEMU reserve
	maxDescriptor     = 1 << 20 // bytes
	maxExtents        = 4096
)

// Versions of the sparse header.
const (
	versionPlain  = 1
	versionZeroed = 2 // zeroed grains
	versionStream = 3 // streams, and disks whose changes are tracked
)

// Flags of the sparse header.
const (
	flagNewlineTest  = 1 << 0
	flagRedundantGD  = 1 << 1
	flagZeroedGrains = 1 << 2
	flagCompressed   = 1 << 16
	flagMarkers      = 1 << 17

	flagsKnown = flagNewlineTest | flagRedundantGD | flagZeroedGrains | flagCompressed | flagMarkers
)

const (
	compressionNone    = 0
	compressionDeflate = 1 // RFC 1951 in the frame of RFC 1950

	// gdAtEnd instead of the grain directory's place: the footer has it.
	gdAtEnd = 1<<64 - 1
)

// Entries of a grain table that are no place of a grain.
const (
	grainAbsent = 0 // the parent's, or zeros
	grainZeroed = 1 // zeros, where flagZeroedGrains is set
)

// Types of metadata markers.
const (
	markerEOS      = 0
	markerTable    = 1
	markerGD       = 2
	markerFooter   = 3
	markerProgress = 4
)

// newlineTest shows whether the file went through a transfer in text mode.
var newlineTest = [4]byte{'\n', ' ', '\r', '\n'}

// sparseHeader is SparseExtentHeader: the first sector of a sparse extent, and
// the footer of a stream.
type sparseHeader struct {
	Magic            uint32    // 0
	Version          uint32    // 4
	Flags            uint32    // 8
	Capacity         uint64    // 12: sectors
	GrainSize        uint64    // 20: sectors
	DescriptorOffset uint64    // 28: sector; 0 is none
	DescriptorSize   uint64    // 36: sectors
	TableEntries     uint32    // 44: entries of one grain table
	RGDOffset        uint64    // 48: sector of the redundant grain directory
	GDOffset         uint64    // 56: sector, or gdAtEnd
	OverHead         uint64    // 64: sectors before the first grain
	UncleanShutdown  uint8     // 72
	NewlineTest      [4]byte   // 73
	Compression      uint16    // 77
	Pad              [433]byte // 79
}

// appendTo encodes the header as it lies on the disk.
func (h *sparseHeader) appendTo(p []byte) []byte {
	p, _ = binary.Append(p, binary.LittleEndian, h) // of fixed size: it cannot fail
	return p
}

// marker precedes each grain of a stream, and each piece of its tables. With a
// size it is a grain: the compressed data begins where Type stands. Without one
// it is metadata, in as many of the following sectors as Value says.
type marker struct {
	Value uint64 // 0: grain: its first sector on the disk; metadata: sectors that follow
	Size  uint32 // 8: bytes of compressed data
	Type  uint32 // 12: of metadata
}

// decodeMarker is the hand decoder; p has markerSize bytes.
func decodeMarker(p []byte) marker {
	return marker{
		Value: binary.LittleEndian.Uint64(p),
		Size:  binary.LittleEndian.Uint32(p[8:]),
		Type:  binary.LittleEndian.Uint32(p[12:]),
	}
}

// cowdHeader is COWDisk_Header: the beginning of a vmfsSparse extent. What
// follows, to cowdHeaderSize, names its parent and is not used.
type cowdHeader struct {
	Magic     uint32 // 0
	Version   uint32 // 4
	Flags     uint32 // 8
	Capacity  uint32 // 12: sectors
	GrainSize uint32 // 16: sectors, 1 mostly
	GDOffset  uint32 // 20: sector
	GDEntries uint32 // 24
	FreeAt    uint32 // 28: next free sector
}

// cowdTableEntries is how many grains a table of a vmfsSparse extent maps.
const cowdTableEntries = 4096

// seHeader is the constant header of a seSparse extent. Places and sizes are
// in sectors.
type seHeader struct {
	Magic          uint64    // 0
	Version        uint64    // 8
	Capacity       uint64    // 16
	GrainSize      uint64    // 24
	TableSize      uint64    // 32: of one grain table
	Flags          uint64    // 40
	Reserved       [4]uint64 // 48
	VolatileOffset uint64    // 80
	VolatileSize   uint64    // 88
	JournalHeader  uint64    // 96
	JournalHdrSize uint64    // 104
	Journal        uint64    // 112
	JournalSize    uint64    // 120
	GDOffset       uint64    // 128
	GDSize         uint64    // 136
	TablesOffset   uint64    // 144
	TablesSize     uint64    // 152
	BitmapOffset   uint64    // 160
	BitmapSize     uint64    // 168
	BackmapOffset  uint64    // 176
	BackmapSize    uint64    // 184
	GrainsOffset   uint64    // 192
	GrainsSize     uint64    // 200
	Pad            [304]byte // 208
}

// seVolatileHeader begins the part of a seSparse extent that changes.
type seVolatileHeader struct {
	Magic     uint64 // 0
	FreeTable uint64 // 8
	NextTxn   uint64 // 16
	Replay    uint64 // 24: not 0: the journal holds changes that are not applied
}

const (
	seVersion      = 0x0000000200000001 // 2.1
	seGrainSectors = 8
	seTableSectors = 64
	seEntrySize    = 8
	seTableEntries = seTableSectors * sectorSize / seEntrySize
)

// decodeSize is the size in the marker of a grain.
func decodeSize(p []byte) uint32 { return binary.LittleEndian.Uint32(p[8:]) }
