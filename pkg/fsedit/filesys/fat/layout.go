package fat

import "encoding/binary"

// Structures of "Microsoft Extensible Firmware Initiative FAT32 File System
// Specification", version 1.03. All numbers are little-endian.

var le = binary.LittleEndian

const (
	bootSize    = 512
	bootTail    = 36 // where FAT32 differs
	wideSize    = 28
	extendedLen = 26
	infoSize    = 512
	slotSize    = 32
	maxDirSlots = 65536 // 2 MiB, the most that Linux and Windows read
)

// bootSector is the first sector: the BIOS parameter block and what follows.
type bootSector struct {
	Jump              [3]byte // 0
	OEM               [8]byte // 3
	SectorSize        uint16  // 11
	SectorsPerCluster uint8   // 13
	ReservedSectors   uint16  // 14
	FATs              uint8   // 16
	RootEntries       uint16  // 17, of the fixed root of FAT12 and FAT16
	Sectors16         uint16  // 19
	Media             uint8   // 21
	FATSectors16      uint16  // 22, 0 for FAT32
	SectorsPerTrack   uint16  // 24
	Heads             uint16  // 26
	HiddenSectors     uint32  // 28
	Sectors32         uint32  // 32
	Tail              [474]byte
	Magic             [2]byte // 510
}

// wideBPB stands at 36 of a FAT32 boot sector; extended follows.
type wideBPB struct {
	FATSectors   uint32 // 36
	Flags        uint16 // 40
	Version      uint16 // 42
	RootCluster  uint32 // 44
	InfoSector   uint16 // 48
	BackupSector uint16 // 50
	_            [12]byte
}

// Bits of wideBPB.Flags.
const (
	flagNotMirrored = 0x80
	flagActive      = 0x0F
)

// extended stands at 36, and at 64 of a FAT32 boot sector.
type extended struct {
	Drive     uint8 // 0
	State     uint8 // 1
	Signature uint8 // 2
	VolumeID  uint32
	Label     [11]byte
	Type      [8]byte // "FAT16   "; for the eyes only
}

// stateDirty in extended.State says that the filesystem is mounted.
const stateDirty = 1

// infoSector is the hint of FAT32 about free clusters.
type infoSector struct {
	Lead   uint32 // 0
	_      [480]byte
	Struct uint32 // 484
	Free   uint32 // 488
	Next   uint32 // 492
	_      [12]byte
	Trail  uint32 // 508
}

const (
	infoLead   = 0x41615252
	infoStruct = 0x61417272
	infoTrail  = 0xAA550000
	infoFree   = 488 // offsets of fields that are patched
	infoNext   = 492
)

// slot is one record of a directory: a file under its short name.
type slot struct {
	Name      [11]byte // 0
	Attr      uint8    // 11
	Case      uint8    // 12
	Tenths    uint8    // 13, of Created: units of 10 ms
	CTime     uint16   // 14
	CDate     uint16   // 16
	ADate     uint16   // 18
	ClusterHi uint16   // 20, FAT32
	MTime     uint16   // 22
	MDate     uint16   // 24
	ClusterLo uint16   // 26
	Size      uint32   // 28
}

// Offsets in a slot of what is patched.
const (
	slAttr      = 11
	slCase      = 12
	slTenths    = 13
	slCTime     = 14
	slCDate     = 16
	slADate     = 18
	slClusterHi = 20
	slMTime     = 22
	slMDate     = 24
	slClusterLo = 26
	slSize      = 28
)

func decodeSlot(p []byte) slot {
	_ = p[slotSize-1]
	return slot{
		Name: [11]byte(p[:11]), Attr: p[slAttr], Case: p[slCase], Tenths: p[slTenths],
		CTime: le.Uint16(p[slCTime:]), CDate: le.Uint16(p[slCDate:]), ADate: le.Uint16(p[slADate:]),
		ClusterHi: le.Uint16(p[slClusterHi:]), MTime: le.Uint16(p[slMTime:]), MDate: le.Uint16(p[slMDate:]),
		ClusterLo: le.Uint16(p[slClusterLo:]), Size: le.Uint32(p[slSize:]),
	}
}

// Attributes of a slot.
const (
	attrReadOnly = 0x01
	attrHidden   = 0x02
	attrSystem   = 0x04
	attrVolume   = 0x08
	attrDir      = 0x10
	attrArchive  = 0x20
	attrLong     = attrReadOnly | attrHidden | attrSystem | attrVolume
	attrMask     = 0x3F
)

// Bits of slot.Case, an invention of Windows NT: that half is in lower case.
const (
	caseBase = 0x08
	caseExt  = 0x10
)

// First bytes of a slot.
const (
	slotEnd     = 0x00 // neither this one nor those after it are used
	slotDeleted = 0xE5
	slotKanji   = 0x05 // stands for 0xE5 in a name
)

// A slot of a long name holds 13 units of UTF-16 in three pieces; the number
// in its first byte counts down to 1, which is the piece before the file's slot.
const (
	longLast     = 0x40
	longOrder    = 0x3F
	longSum      = 13
	longUnits    = 13
	maxLongSlots = 20
	maxLong      = 255 // units of UTF-16
)

// longPlaces are where the units of a long name's slot lie.
var longPlaces = [longUnits]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}

// Values of a table's entries, for FAT32; the others have their low bits.
const (
	entryFree = 0
	entryBad  = 0x0FFFFFF7
	entryEnd  = 0x0FFFFFF8 // this and above
	entryMask = 0x0FFFFFFF
)

// The type follows from the number of clusters.
const (
	fat12Clusters = 4085 // fewer
	fat16Clusters = 65525
	fat32Clusters = 0x0FFFFFF5
)
