package ext

import "encoding/binary"

// The structures below stand in disk order with their offsets, as "Data
// Structures and Algorithms" of the kernel's ext4 documentation gives them. All
// integers are little-endian. Structures that are edited are patched in their
// own bytes, at the offsets named beside each; they are never encoded again.

var le = binary.LittleEndian

const (
	superOffset = 1024 // bytes from the start of the device
	superSize   = 1024

	superMagic      = 0xEF53
	extentMagic     = 0xF30A
	xattrMagic      = 0xEA020000
	mmpMagic        = 0x004D4D50
	mmpClean        = 0xFF4D4D50
	orphanTailMagic = 0x0B10CA04
)

// superblock is struct ext4_super_block.
type superblock struct {
	InodesCount       uint32     // 0x000
	BlocksCountLo     uint32     // 0x004
	ReservedBlocksLo  uint32     // 0x008
	FreeBlocksLo      uint32     // 0x00C
	FreeInodes        uint32     // 0x010
	FirstDataBlock    uint32     // 0x014
	LogBlockSize      uint32     // 0x018
	LogClusterSize    uint32     // 0x01C
	BlocksPerGroup    uint32     // 0x020
	ClustersPerGroup  uint32     // 0x024
	InodesPerGroup    uint32     // 0x028
	Mtime             uint32     // 0x02C
	Wtime             uint32     // 0x030
	MountCount        uint16     // 0x034
	MaxMountCount     uint16     // 0x036
	Magic             uint16     // 0x038
	State             uint16     // 0x03A
	Errors            uint16     // 0x03C
	MinorRev          uint16     // 0x03E
	LastCheck         uint32     // 0x040
	CheckInterval     uint32     // 0x044
	CreatorOS         uint32     // 0x048
	RevLevel          uint32     // 0x04C
	DefResUID         uint16     // 0x050
	DefResGID         uint16     // 0x052
	FirstInode        uint32     // 0x054
	InodeSize         uint16     // 0x058
	BlockGroup        uint16     // 0x05A
	FeatureCompat     uint32     // 0x05C
	FeatureIncompat   uint32     // 0x060
	FeatureROCompat   uint32     // 0x064
	UUID              [16]byte   // 0x068
	VolumeName        [16]byte   // 0x078
	LastMounted       [64]byte   // 0x088
	AlgorithmUsage    uint32     // 0x0C8
	PreallocBlocks    uint8      // 0x0CC
	PreallocDirBlocks uint8      // 0x0CD
	ReservedGDTBlocks uint16     // 0x0CE
	JournalUUID       [16]byte   // 0x0D0
	JournalInode      uint32     // 0x0E0
	JournalDev        uint32     // 0x0E4
	LastOrphan        uint32     // 0x0E8
	HashSeed          [4]uint32  // 0x0EC
	DefHashVersion    uint8      // 0x0FC
	JnlBackupType     uint8      // 0x0FD
	DescSize          uint16     // 0x0FE
	DefaultMountOpts  uint32     // 0x100
	FirstMetaBG       uint32     // 0x104
	MkfsTime          uint32     // 0x108
	JnlBlocks         [17]uint32 // 0x10C
	BlocksCountHi     uint32     // 0x150
	ReservedBlocksHi  uint32     // 0x154
	FreeBlocksHi      uint32     // 0x158
	MinExtraIsize     uint16     // 0x15C
	WantExtraIsize    uint16     // 0x15E
	Flags             uint32     // 0x160
	RAIDStride        uint16     // 0x164
	MMPInterval       uint16     // 0x166
	MMPBlock          uint64     // 0x168
	RAIDStripeWidth   uint32     // 0x170
	LogGroupsPerFlex  uint8      // 0x174
	ChecksumType      uint8      // 0x175
	EncryptionLevel   uint8      // 0x176
	_                 uint8      // 0x177
	KBytesWritten     uint64     // 0x178
	SnapshotInum      uint32     // 0x180
	SnapshotID        uint32     // 0x184
	SnapshotReserved  uint64     // 0x188
	SnapshotList      uint32     // 0x190
	ErrorCount        uint32     // 0x194
	_                 [104]byte  // 0x198 first and last error
	MountOpts         [64]byte   // 0x200
	UserQuotaInum     uint32     // 0x240
	GroupQuotaInum    uint32     // 0x244
	OverheadClusters  uint32     // 0x248
	BackupBGs         [2]uint32  // 0x24C
	EncryptAlgos      [4]uint8   // 0x254
	EncryptSalt       [16]byte   // 0x258
	LostFoundInode    uint32     // 0x268
	ProjectQuotaInum  uint32     // 0x26C
	ChecksumSeed      uint32     // 0x270
	_                 [8]byte    // 0x274 high bytes of times
	Encoding          uint16     // 0x27C
	EncodingFlags     uint16     // 0x27E
	OrphanFileInode   uint32     // 0x280
	_                 [94]uint32 // 0x284
	Checksum          uint32     // 0x3FC
}

// Offsets in the superblock that an edit or a replay patches.
const (
	sbFreeBlocksLo    = 0x00C
	sbFreeInodes      = 0x010
	sbWtime           = 0x030
	sbState           = 0x03A
	sbFeatureIncompat = 0x060
	sbFeatureROCompat = 0x064
	sbLastOrphan      = 0x0E8
	sbFreeBlocksHi    = 0x158
	sbWtimeHi         = 0x274
	sbChecksum        = 0x3FC
)

// Bits of superblock.State and superblock.Flags.
const (
	stateClean   = 1
	stateErrors  = 2
	stateOrphans = 4

	flagSignedHash   = 1
	flagUnsignedHash = 2
)

// groupDesc is struct ext4_group_desc. Without the 64bit feature only the first
// 32 bytes exist.
type groupDesc struct {
	BlockBitmapLo     uint32 // 0x00
	InodeBitmapLo     uint32 // 0x04
	InodeTableLo      uint32 // 0x08
	FreeBlocksLo      uint16 // 0x0C, clusters
	FreeInodesLo      uint16 // 0x0E
	UsedDirsLo        uint16 // 0x10
	Flags             uint16 // 0x12
	ExcludeBitmapLo   uint32 // 0x14
	BlockBitmapCsumLo uint16 // 0x18
	InodeBitmapCsumLo uint16 // 0x1A
	ItableUnusedLo    uint16 // 0x1C
	Checksum          uint16 // 0x1E
	BlockBitmapHi     uint32 // 0x20
	InodeBitmapHi     uint32 // 0x24
	InodeTableHi      uint32 // 0x28
	FreeBlocksHi      uint16 // 0x2C
	FreeInodesHi      uint16 // 0x2E
	UsedDirsHi        uint16 // 0x30
	ItableUnusedHi    uint16 // 0x32
	ExcludeBitmapHi   uint32 // 0x34
	BlockBitmapCsumHi uint16 // 0x38
	InodeBitmapCsumHi uint16 // 0x3A
	Reserved          uint32 // 0x3C
}

const (
	descSize32 = 32
	descSize64 = 64
)

// Offsets in a group descriptor that an edit patches.
const (
	bgFreeBlocksLo      = 0x0C
	bgFreeInodesLo      = 0x0E
	bgUsedDirsLo        = 0x10
	bgFlags             = 0x12
	bgBlockBitmapCsumLo = 0x18
	bgInodeBitmapCsumLo = 0x1A
	bgItableUnusedLo    = 0x1C
	bgChecksum          = 0x1E
	bgFreeBlocksHi      = 0x2C
	bgFreeInodesHi      = 0x2E
	bgUsedDirsHi        = 0x30
	bgItableUnusedHi    = 0x32
	bgBlockBitmapCsumHi = 0x38
	bgInodeBitmapCsumHi = 0x3A
)

// Bits of groupDesc.Flags.
const (
	bgInodeUninit = 1 // inode bitmap and table are not initialised
	bgBlockUninit = 2 // block bitmap is not initialised
	bgInodeZeroed = 4 // inode table is zeroed
)

// diskInode is struct ext4_inode. Old inodes end at 0x80; in larger ones
// ExtraIsize tells how many bytes from 0x80 on hold fields.
type diskInode struct {
	Mode        uint16   // 0x00
	UIDLo       uint16   // 0x02
	SizeLo      uint32   // 0x04
	Atime       uint32   // 0x08
	Ctime       uint32   // 0x0C
	Mtime       uint32   // 0x10
	Dtime       uint32   // 0x14
	GIDLo       uint16   // 0x18
	Links       uint16   // 0x1A
	BlocksLo    uint32   // 0x1C
	Flags       uint32   // 0x20
	VersionLo   uint32   // 0x24
	Block       [60]byte // 0x28
	Generation  uint32   // 0x64
	FileACLLo   uint32   // 0x68
	SizeHi      uint32   // 0x6C
	ObsoFaddr   uint32   // 0x70
	BlocksHi    uint16   // 0x74
	FileACLHi   uint16   // 0x76
	UIDHi       uint16   // 0x78
	GIDHi       uint16   // 0x7A
	ChecksumLo  uint16   // 0x7C
	_           uint16   // 0x7E
	ExtraIsize  uint16   // 0x80
	ChecksumHi  uint16   // 0x82
	CtimeExtra  uint32   // 0x84
	MtimeExtra  uint32   // 0x88
	AtimeExtra  uint32   // 0x8C
	Crtime      uint32   // 0x90
	CrtimeExtra uint32   // 0x94
	VersionHi   uint32   // 0x98
	ProjID      uint32   // 0x9C
}

const (
	oldInodeSize  = 128
	diskInodeSize = 0xA0
	inodeBlockLen = 60
)

// Offsets in an inode that an edit patches.
const (
	inMode        = 0x00
	inUIDLo       = 0x02
	inSizeLo      = 0x04
	inAtime       = 0x08
	inCtime       = 0x0C
	inMtime       = 0x10
	inDtime       = 0x14
	inGIDLo       = 0x18
	inLinks       = 0x1A
	inBlocksLo    = 0x1C
	inFlags       = 0x20
	inVersionLo   = 0x24
	inBlock       = 0x28
	inGeneration  = 0x64
	inFileACLLo   = 0x68
	inSizeHi      = 0x6C
	inBlocksHi    = 0x74
	inFileACLHi   = 0x76
	inUIDHi       = 0x78
	inGIDHi       = 0x7A
	inChecksumLo  = 0x7C
	inExtraIsize  = 0x80
	inChecksumHi  = 0x82
	inCtimeExtra  = 0x84
	inMtimeExtra  = 0x88
	inAtimeExtra  = 0x8C
	inCrtime      = 0x90
	inCrtimeExtra = 0x94
	inVersionHi   = 0x98
	inProjID      = 0x9C
)

// Bits of diskInode.Flags.
const (
	flSecureDelete = 0x1
	flCompressed   = 0x4
	flImmutable    = 0x10
	flAppend       = 0x20
	flNoDump       = 0x40
	flNoAtime      = 0x80
	flEncrypt      = 0x800
	flIndex        = 0x1000 // directory is an htree
	flJournalData  = 0x4000
	flHugeFile     = 0x40000 // i_blocks counts filesystem blocks
	flExtents      = 0x80000
	flVerity       = 0x100000
	flEAInode      = 0x200000
	flInlineData   = 0x10000000
	flProjInherit  = 0x20000000
	flCasefold     = 0x40000000
)

// Inode numbers that are fixed.
const (
	inoBad       = 1
	inoRoot      = 2
	inoUserQuota = 3
	inoGrpQuota  = 4
	inoBoot      = 5
	inoResize    = 7
	inoJournal   = 8
)

// An extent tree node is a header, then entries of 12 bytes, then, in a block
// of its own, a checksum after the last possible entry.
const (
	extentHeaderSize = 12
	extentEntrySize  = 12
	extentMaxDepth   = 5
	extentMaxLen     = 32768 // longer means unwritten, the length less this
)

// extentHeader is struct ext4_extent_header.
type extentHeader struct {
	Magic      uint16 // 0x0
	Entries    uint16 // 0x2
	Max        uint16 // 0x4
	Depth      uint16 // 0x6
	Generation uint32 // 0x8
}

// extentLeaf is struct ext4_extent.
type extentLeaf struct {
	Block   uint32 // 0x0
	Len     uint16 // 0x4
	StartHi uint16 // 0x6
	StartLo uint32 // 0x8
}

// extentIndex is struct ext4_extent_idx.
type extentIndex struct {
	Block  uint32 // 0x0
	LeafLo uint32 // 0x4
	LeafHi uint16 // 0x8
	_      uint16 // 0xA
}

// Directories: an entry is inode u32, rec_len u16, name_len u8, file_type u8,
// name. With checksums a leaf ends in a fake entry that carries it.
const (
	direntHeader = 8
	dirTailSize  = 12
	dirTailType  = 0xDE
	maxName      = 255

	dxRootInfo  = 0x18 // reserved u32, hash u8, info_len u8, levels u8, flags u8
	dxRootCount = 0x20
	dxNodeCount = 0x08
	dxEntrySize = 8
	dxTailSize  = 8 // reserved u32, checksum u32
)

// File types of directory entries.
const (
	ftUnknown = iota
	ftRegular
	ftDir
	ftChar
	ftBlock
	ftFifo
	ftSocket
	ftSymlink
)

// xattrHeader is struct ext4_xattr_header, at the start of an xattr block. In
// an inode only Magic stands before the entries.
type xattrHeader struct {
	Magic    uint32    // 0x00
	RefCount uint32    // 0x04
	Blocks   uint32    // 0x08
	Hash     uint32    // 0x0C
	Checksum uint32    // 0x10
	_        [3]uint32 // 0x14
}

// xattrEntry is struct ext4_xattr_entry; the name follows, padded to 4.
type xattrEntry struct {
	NameLen   uint8  // 0x0
	NameIndex uint8  // 0x1
	ValueOffs uint16 // 0x2
	ValueInum uint32 // 0x4
	ValueSize uint32 // 0x8
	Hash      uint32 // 0xC
}

const (
	xattrHeaderSize = 32
	xattrEntrySize  = 16
	xattrRefCountAt = 0x04
	xattrHashAt     = 0x0C
	xattrChecksumAt = 0x10
)

// Prefixes of xattr names.
const (
	xaUser       = 1
	xaACLAccess  = 2
	xaACLDefault = 3
	xaTrusted    = 4
	xaSecurity   = 6
	xaSystem     = 7 // "data" holds inline data
	xaRichACL    = 8
	xaEncryption = 9
	xaHurd       = 10
)
