package vhdx

import (
	"encoding/binary"
	"hash/crc32"
)

// Places and sizes of the fixed area ([MS-VHDX] 2.2).
const (
	kib = 1 << 10
	mib = 1 << 20

	identifierSize = 64 * kib
	headerOffset1  = 64 * kib
	headerOffset2  = 128 * kib
	headerSize     = 4 * kib
	regionOffset1  = 192 * kib
	regionOffset2  = 256 * kib
	regionSize     = 64 * kib
	fixedArea      = mib

	maxTableEntries = 2047 // of a region table and of a metadata table
	metadataItems   = 64 * kib
	maxItemSize     = mib
)

// Limits of a disk ([MS-VHDX] 2.6.2).
const (
	minBlockSize   = mib
	maxBlockSize   = 256 * mib
	maxVirtualSize = 64 << 40
	chunkSectors   = 1 << 23 // sectors that one sector bitmap block describes
	bitmapSize     = chunkSectors / 8
)

var (
	identifierMagic = [8]byte{'v', 'h', 'd', 'x', 'f', 'i', 'l', 'e'}
	headerMagic     = [4]byte{'h', 'e', 'a', 'd'}
	regionMagic     = [4]byte{'r', 'e', 'g', 'i'}
	metadataMagic   = [8]byte{'m', 'e', 't', 'a', 'd', 'a', 't', 'a'}
	entryMagic      = [4]byte{'l', 'o', 'g', 'e'}
	descDataMagic   = [4]byte{'d', 'e', 's', 'c'}
	descZeroMagic   = [4]byte{'z', 'e', 'r', 'o'}
	sectorMagic     = [4]byte{'d', 'a', 't', 'a'}
)

// diskHeader is one of the two headers; zeros follow up to headerSize.
type diskHeader struct {
	Magic      [4]byte // 0
	Checksum   uint32  // 4: CRC-32C of headerSize bytes with zeros here
	Sequence   uint64  // 8
	FileWrite  guid    // 16: changes when the file is opened for writing
	DataWrite  guid    // 32: changes when the disk's content does
	Log        guid    // 48: of the log's entries; zero when there are none
	LogVersion uint16  // 64
	Version    uint16  // 66
	LogLength  uint32  // 68
	LogOffset  uint64  // 72
}

// Offsets of header fields that are patched in place.
const (
	offChecksum  = 4
	offSequence  = 8
	offFileWrite = 16
	offDataWrite = 32
)

// diskTable begins a region table; entries follow.
type diskRegionTable struct {
	Magic    [4]byte // 0
	Checksum uint32  // 4: CRC-32C of regionSize bytes with zeros here
	Count    uint32  // 8
	_        uint32  // 12
}

type diskRegion struct {
	ID       guid   // 0
	Offset   uint64 // 16
	Length   uint32 // 24
	Required uint32 // 28: bit 0
}

// diskMetadataTable begins the metadata region; entries follow.
type diskMetadataTable struct {
	Magic [8]byte  // 0
	_     uint16   // 8
	Count uint16   // 10
	_     [20]byte // 12
}

type diskItem struct {
	ID     guid   // 0
	Offset uint32 // 16: from the region's start
	Length uint32 // 20
	Flags  uint32 // 24
	_      uint32 // 28
}

// Flags of metadata items.
const (
	itemUser     = 1 << 0
	itemDisk     = 1 << 1
	itemRequired = 1 << 2
)

// diskLogEntry begins an entry of the log ([MS-VHDX] 2.3.1.1).
type diskLogEntry struct {
	Magic       [4]byte // 0
	Checksum    uint32  // 4: CRC-32C of the entry with zeros here
	Length      uint32  // 8
	Tail        uint32  // 12: where in the log the sequence begins
	Sequence    uint64  // 16
	Descriptors uint32  // 24
	_           uint32  // 28
	Log         guid    // 32
	Flushed     uint64  // 48: the file had at least this size
	Last        uint64  // 56: and gets this one by the replay
}

// diskDescriptor is a data or a zero descriptor ([MS-VHDX] 2.3.1.2, 2.3.1.3).
type diskDescriptor struct {
	Magic    [4]byte // 0
	Trailing [4]byte // 4: data: last bytes of the sector
	Lead     [8]byte // 8: data: first bytes of the sector; zero: u64 length
	Offset   uint64  // 16
	Sequence uint64  // 24
}

// Sizes in the log.
const (
	logSector      = 4 * kib
	logHeaderSize  = 64
	descriptorSize = 32
	sectorLead     = 8 // bytes of a data sector before the data
	sectorTrail    = 4 // and after it
)

// diskLocator begins a parent locator; entries follow ([MS-VHDX] 2.6.2.6).
type diskLocator struct {
	Type  guid   // 0
	_     uint16 // 16
	Count uint16 // 18
}

// diskLocatorEntry is a key and its value in UTF-16, offsets from the item's start.
type diskLocatorEntry struct {
	Key, Value             uint32 // 0, 4
	KeyLength, ValueLength uint16 // 8, 10: bytes
}

// Regions and metadata items.
var (
	regionBAT      = newGUID(0x2DC27766, 0xF623, 0x4200, 0x9D64115E9BFD4A08)
	regionMetadata = newGUID(0x8B7CA206, 0x4790, 0x4B9A, 0xB8FE575F050F886E)

	itemParameters = newGUID(0xCAA16737, 0xFA36, 0x4D43, 0xB3B633F0AA44E76B)
	itemSize       = newGUID(0x2FA54224, 0xCD1B, 0x4876, 0xB2115DBED83BF4B8)
	itemPage83     = newGUID(0xBECA12AB, 0xB2E6, 0x4523, 0x93EFC309E000C746)
	itemLogical    = newGUID(0x8141BF1D, 0xA96F, 0x4709, 0xBA47F233A8FAAB5F)
	itemPhysical   = newGUID(0xCDA348C7, 0x445D, 0x4471, 0x9CC9E9885251C556)
	itemParent     = newGUID(0xA8D35F2D, 0xB30B, 0x454D, 0xABF7D3D84834AB0C)

	locatorVHDX = newGUID(0xB04AEFB7, 0xD19E, 0x4A81, 0xB78925B8E9445913)
)

// Flags of the file parameters.
const (
	leaveAllocated = 1 << 0 // a fixed disk
	hasParent      = 1 << 1
)

// States of a payload block ([MS-VHDX] 2.5.1.1); a sector bitmap block is either
// not present or fully present.
const (
	notPresent   = 0
	undefined    = 1
	zeroBlock    = 2
	unmapped     = 3
	unmappedOld  = 5 // of drafts of the specification
	fullyPresent = 6
	partly       = 7 // a sector bitmap says which sectors are here

	stateMask  = 7
	offsetMask = ^uint64(mib - 1)
)

var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a sealed structure, whose own field counts as zeros.
func checksum(p []byte) uint32 {
	crc := crc32.Update(0, castagnoli, p[:offChecksum])
	crc = crc32.Update(crc, castagnoli, make([]byte, 4))
	return crc32.Update(crc, castagnoli, p[offChecksum+4:])
}

// seal puts the checksum into a structure.
func seal(p []byte) { le.PutUint32(p[offChecksum:], checksum(p)) }

func sealed(p []byte) bool { return le.Uint32(p[offChecksum:]) == checksum(p) }

// decode reads a structure of the layout from p, which has room for it.
func decode[T any](p []byte) T {
	var v T
	// The callers' slices are long enough and T has a fixed size.
	_, _ = binary.Decode(p, le, &v)
	return v
}

// encode is the other way.
func encode[T any](p []byte, v T) { _, _ = binary.Encode(p, le, &v) }
