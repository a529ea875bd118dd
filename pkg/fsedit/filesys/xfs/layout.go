package xfs

import "encoding/binary"

// On-disk structures, after "XFS Algorithms & Data Structures", 3rd edition
// (kernel.org), and for what is younger the kernel's public headers. All
// integers are big-endian, but for checksums.

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

const (
	superMagic  = 0x58465342 // "XFSB"
	superSize   = 264
	minSector   = 512
	daddrBits   = 9 // disk addresses count 512 bytes
	labelLength = 12
)

// superblock is struct xfs_dsb; sector 0 of every allocation group (AG).
type superblock struct {
	Magic          uint32   // 0
	BlockSize      uint32   // 4
	DBlocks        uint64   // 8 blocks of the data device
	RBlocks        uint64   // 16
	RExtents       uint64   // 24
	UUID           [16]byte // 32
	LogStart       uint64   // 48 fsblock; 0 when the log is on another device
	RootIno        uint64   // 56
	RBmIno         uint64   // 64
	RSumIno        uint64   // 72
	RExtSize       uint32   // 80
	AGBlocks       uint32   // 84
	AGCount        uint32   // 88
	RBmBlocks      uint32   // 92
	LogBlocks      uint32   // 96
	VersionNum     uint16   // 100
	SectSize       uint16   // 102
	InodeSize      uint16   // 104
	InoPBlock      uint16   // 106
	FName          [12]byte // 108
	BlockLog       uint8    // 120
	SectLog        uint8    // 121
	InodeLog       uint8    // 122
	InoPBLog       uint8    // 123
	AGBlkLog       uint8    // 124
	RExtsLog       uint8    // 125
	InProgress     uint8    // 126
	IMaxPct        uint8    // 127
	ICount         uint64   // 128
	IFree          uint64   // 136
	FDBlocks       uint64   // 144
	FRExtents      uint64   // 152
	UQuotIno       uint64   // 160
	GQuotIno       uint64   // 168
	QFlags         uint16   // 176
	Flags          uint8    // 178
	SharedVN       uint8    // 179
	InoAlignMt     uint32   // 180
	Unit           uint32   // 184
	Width          uint32   // 188
	DirBlkLog      uint8    // 192
	LogSectLog     uint8    // 193
	LogSectSize    uint16   // 194
	LogSUnit       uint32   // 196 bytes
	Features2      uint32   // 200
	BadFeatures2   uint32   // 204
	FeatCompat     uint32   // 208 from here on version 5 only
	FeatROCompat   uint32   // 212
	FeatIncompat   uint32   // 216
	FeatLogIncompt uint32   // 220
	CRC            uint32   // 224 little-endian
	SpinoAlign     uint32   // 228
	PQuotIno       uint64   // 232
	LSN            uint64   // 240
	MetaUUID       [16]byte // 248
}

// Offsets in the superblock that are patched.
const (
	sbICount   = 128
	sbIFree    = 136
	sbFDBlocks = 144
	sbIncompat = 216
	sbCRC      = 224
	sbLSN      = 240
)

// The headers of an AG: superblock, AGF, AGI and AGFL, one sector each.
const (
	agfMagic  = 0x58414746 // "XAGF"
	agiMagic  = 0x58414749 // "XAGI"
	agflMagic = 0x5841464C // "XAFL"

	agfSector  = 1
	agiSector  = 2
	agflSector = 3

	agHeaderVersion = 1
	agflHeader5     = 36 // bytes before the slots in version 5
	unlinkedBuckets = 64

	nullAGBlock = 1<<32 - 1
	nullAGIno   = 1<<32 - 1
)

// agf is struct xfs_agf, the free space of an AG.
type agf struct {
	Magic          uint32     // 0
	Version        uint32     // 4
	SeqNo          uint32     // 8
	Length         uint32     // 12
	Roots          [3]uint32  // 16 bnobt, cntbt, rmapbt
	Levels         [3]uint32  // 28
	FLFirst        uint32     // 40
	FLLast         uint32     // 44
	FLCount        uint32     // 48
	FreeBlks       uint32     // 52
	Longest        uint32     // 56
	BtreeBlks      uint32     // 60
	UUID           [16]byte   // 64
	RmapBlocks     uint32     // 80
	RefcountBlocks uint32     // 84
	RefcountRoot   uint32     // 88
	RefcountLevel  uint32     // 92
	_              [14]uint64 // 96
	LSN            uint64     // 208
	CRC            uint32     // 216
	_              uint32     // 220
}

// agi is struct xfs_agi, the inodes of an AG.
type agi struct {
	Magic     uint32                  // 0
	Version   uint32                  // 4
	SeqNo     uint32                  // 8
	Length    uint32                  // 12
	Count     uint32                  // 16
	Root      uint32                  // 20
	Level     uint32                  // 24
	FreeCount uint32                  // 28
	NewIno    uint32                  // 32
	DirIno    uint32                  // 36
	Unlinked  [unlinkedBuckets]uint32 // 40
	UUID      [16]byte                // 296
	CRC       uint32                  // 312
	_         uint32                  // 316
	LSN       uint64                  // 320
	FreeRoot  uint32                  // 328
	FreeLevel uint32                  // 332
	IBlocks   uint32                  // 336
	FBlocks   uint32                  // 340
}

// B-tree blocks: a short header within an AG, a long one for the map of a file.
const (
	btreeMaxLevels = 9

	shortHeader4 = 16
	shortHeader5 = 56
	longHeader4  = 24
	longHeader5  = 72

	bnobtMagic4  = 0x41425442 // "ABTB"
	bnobtMagic5  = 0x41423342 // "AB3B"
	cntbtMagic4  = 0x41425443 // "ABTC"
	cntbtMagic5  = 0x41423343 // "AB3C"
	inobtMagic4  = 0x49414254 // "IABT"
	inobtMagic5  = 0x49414233 // "IAB3"
	finobtMagic4 = 0x46494254 // "FIBT"
	finobtMagic5 = 0x46494233 // "FIB3"
	rmapMagic5   = 0x524D4233 // "RMB3"
	refcMagic5   = 0x52334643 // "R3FC"
	bmbtMagic4   = 0x424D4150 // "BMAP"
	bmbtMagic5   = 0x424D4133 // "BMA3"

	agPtrSize   = 4
	bmbtRecSize = 16 // packed extent
	bmbtKeySize = 8
	bmbtPtrSize = 8
)

// Inodes.
const (
	inodeMagic = 0x494E // "IN"
	inodeCore2 = 100    // bytes before the data fork in versions 1 and 2
	inodeCore3 = 176

	inNextUnlinked = 96
	inCRC          = 100
	inLSN          = 112
	inIno          = 152
	inUUID         = 160

	formatDev    = 0
	formatLocal  = 1
	formatExtent = 2
	formatBtree  = 3

	diRealtime  = 0x1
	diImmutable = 0x8
	diAppend    = 0x10
	diNoDump    = 0x80

	di2Bigtime  = 0x8
	di2NRExt64  = 0x10
	di2Metadata = 0x20
)

// inodeCore is struct xfs_dinode without its forks. Versions 1 and 2 end
// before CRC.
type inodeCore struct {
	Magic        uint16   // 0
	Mode         uint16   // 2
	Version      uint8    // 4
	Format       uint8    // 5
	OnLink       uint16   // 6 links in version 1
	UID          uint32   // 8
	GID          uint32   // 12
	NLink        uint32   // 16
	ProjIDLo     uint16   // 20
	ProjIDHi     uint16   // 22
	BigNExtents  uint64   // 24 with nrext64; version 2 keeps a flush counter in its last 2 bytes
	Atime        uint64   // 32
	Mtime        uint64   // 40
	Ctime        uint64   // 48
	Size         uint64   // 56
	NBlocks      uint64   // 64
	ExtSize      uint32   // 72
	NExtents     uint32   // 76 with nrext64 those of the attribute fork
	ANExtents    uint16   // 80
	ForkOff      uint8    // 82 of the attribute fork, in 8 bytes
	AFormat      uint8    // 83
	DMEvMask     uint32   // 84
	DMState      uint16   // 88
	Flags        uint16   // 90
	Gen          uint32   // 92
	NextUnlinked uint32   // 96
	CRC          uint32   // 100 little-endian
	ChangeCount  uint64   // 104
	LSN          uint64   // 112
	Flags2       uint64   // 120
	CowExtSize   uint32   // 128
	_            [12]byte // 132
	CrTime       uint64   // 144
	Ino          uint64   // 152
	UUID         [16]byte // 160
}

// Directories and attributes. A directory lives in a space of 64 GiB parts:
// entries, then their index, then the index of free room.
const (
	dirLeafOffset = 1 << 35

	dirBlockMagic4 = 0x58443242 // "XD2B"
	dirBlockMagic5 = 0x58444233 // "XDB3"
	dirDataMagic4  = 0x58443244 // "XD2D"
	dirDataMagic5  = 0x58444433 // "XDD3"
	dirFreeMagic4  = 0x58443246 // "XD2F"
	dirFreeMagic5  = 0x58444633 // "XDF3"

	dirDataHeader4 = 16
	dirDataHeader5 = 64
	dirFreeTag     = 0xFFFF
	dirBlockTail   = 8 // count, stale
	dirLeafEntry   = 8 // hash, address

	leaf1Magic4    = 0xD2F1
	leaf1Magic5    = 0x3DF1
	leafNMagic4    = 0xD2FF
	leafNMagic5    = 0x3DFF
	daNodeMagic4   = 0xFEBE
	daNodeMagic5   = 0x3EBE
	attrLeafMagic4 = 0xFBEE
	attrLeafMagic5 = 0x3BEE

	daHeader4   = 16 // of a node or a directory leaf
	daHeader5   = 64
	daEntry     = 8 // hash, block
	daMaxDepth  = 5
	daMagicAt   = 8
	daForwAt    = 0
	attrHeader4 = 32
	attrHeader5 = 80
	attrEntry   = 8 // hash, nameidx, flags, pad

	attrLocal      = 0x1
	attrRoot       = 0x2
	attrSecure     = 0x4
	attrParent     = 0x8
	attrIncomplete = 0x80

	remoteAttrMagic = 0x5841524D // "XARM"
	symlinkMagic    = 0x58534C4D // "XSLM"
	remoteHeader    = 56
	maxAttrValue    = 64 << 10
	maxSymlink      = 1024
)
