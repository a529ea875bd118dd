package vdi

const (
	layer = "vdi"

	signature  = 0xbeda107f
	version    = 1<<16 | 1 // major, minor
	sectorSize = 512

	minHeaderSize = 0x180 // without the logical geometry
	newHeaderSize = 0x190
	headerStart   = 0x48 // where the size of the header counts from

	minBlockBits = 12
	maxBlockBits = 28
	maxBlocks    = 0x3fffffff
)

// Types of images.
const (
	typeDynamic = 1
	typeStatic  = 2
	typeUndo    = 3
	typeDiff    = 4
)

// Entries of the block map that are no place.
const (
	entryAbsent = 0xffffffff // never written
	entryZero   = 0xfffffffe
	entrySize   = 4
)

// Offsets of header fields that are patched in place.
const (
	offAllocated    = 0x184
	offModification = 0x198
)

// diskHeader is the start of the file. All integers are little-endian.
type diskHeader struct {
	Text               [64]byte  // 0x000
	Signature          uint32    // 0x040
	Version            uint32    // 0x044
	HeaderSize         uint32    // 0x048
	Type               uint32    // 0x04c
	Flags              uint32    // 0x050
	Comment            [256]byte // 0x054
	MapOffset          uint32    // 0x154
	DataOffset         uint32    // 0x158
	Cylinders          uint32    // 0x15c
	Heads              uint32    // 0x160
	Sectors            uint32    // 0x164
	SectorSize         uint32    // 0x168
	_                  uint32    // 0x16c
	DiskSize           uint64    // 0x170
	BlockSize          uint32    // 0x178
	BlockExtra         uint32    // 0x17c
	Blocks             uint32    // 0x180
	Allocated          uint32    // 0x184
	Image              uuid      // 0x188
	Modification       uuid      // 0x198
	Link               uuid      // 0x1a8
	ParentModification uuid      // 0x1b8
	LogicalCylinders   uint32    // 0x1c8
	LogicalHeads       uint32    // 0x1cc
	LogicalSectors     uint32    // 0x1d0
	LogicalSectorSize  uint32    // 0x1d4
}

const diskHeaderSize = 0x1d8
