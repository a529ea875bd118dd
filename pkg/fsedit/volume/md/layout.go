package md

import "encoding/binary"

const (
	sector     = 512
	magic      = 0xa92b4efc
	super1Len  = 256
	maxDevices = (4096 - super1Len) / 2 // roles that fit behind a superblock of version 1
	super0Len  = 4096
	disks0     = 27
	reserved0  = 64 << 10 // a superblock 0.90 lies in the last but whole 64 KiB
)

// super1 is a superblock of version 1, little-endian; include/uapi/linux/raid/md_p.h.
// A role of 16 bits for each device follows.
type super1 struct {
	Magic           uint32   // 0
	Major           uint32   // 4
	Features        uint32   // 8
	_               uint32   // 12
	SetUUID         [16]byte // 16
	Name            [32]byte // 32
	Created         uint64   // 64: seconds in the low 40 bits
	Level           int32    // 72
	Layout          uint32   // 76
	Size            uint64   // 80: sectors that are used of each member
	Chunk           uint32   // 88: sectors
	Members         uint32   // 92
	Bitmap          int32    // 96
	NewLevel        int32    // 100
	ReshapePosition uint64   // 104
	Delta           int32    // 112
	NewLayout       uint32   // 116
	NewChunk        uint32   // 120
	NewOffset       int32    // 124
	DataOffset      uint64   // 128: sectors
	DataSize        uint64   // 136: sectors
	SuperOffset     uint64   // 144: sector where it lies itself
	RecoveryOffset  uint64   // 152
	Number          uint32   // 160: of this device: the index of its role
	Corrected       uint32   // 164
	DeviceUUID      [16]byte // 168
	DeviceFlags     uint8    // 184
	BadShift        uint8    // 185
	BadSize         uint16   // 186
	BadOffset       int32    // 188
	Updated         uint64   // 192
	Events          uint64   // 200
	ResyncOffset    uint64   // 208
	Checksum        uint32   // 216
	MaxDevices      uint32   // 220: roles that follow
	_               [32]byte // 224
}

const checksum1Off = 216

// Features of version 1.
const (
	hasBitmap       = 1 << 0
	hasRecovery     = 1 << 1 // RecoveryOffset says how far the member is filled
	isReshaping     = 1 << 2
	hasBadBlocks    = 1 << 3
	isReplacement   = 1 << 4
	reshapeBack     = 1 << 5
	hasNewOffset    = 1 << 6
	recoveryBitmap  = 1 << 7
	isClustered     = 1 << 8
	hasJournal      = 1 << 9
	hasPPL          = 1 << 10
	hasPPLs         = 1 << 11
	hasRAID0Layout  = 1 << 12
	knownFeatures   = 1<<13 - 1
	reshapeFeatures = isReshaping | reshapeBack | hasNewOffset
)

// Roles of devices that are not members.
const (
	roleSpare   = 0xffff
	roleFaulty  = 0xfffe
	firstNoRole = 0xff00
)

// super0 is the superblock 0.90, in the byte order of the machine that made it.
type super0 struct {
	Magic      uint32        // 0
	Major      uint32        // 4
	Minor      uint32        // 8: 90, or 91 while it is reshaped
	Patch      uint32        // 12
	Words      uint32        // 16
	UUID0      uint32        // 20
	Created    uint32        // 24
	Level      int32         // 28
	Size       uint32        // 32: KiB that are used of each member
	Devices    uint32        // 36
	Members    uint32        // 40
	Preferred  uint32        // 44: the N of /dev/mdN
	_          uint32        // 48
	UUID1      uint32        // 52
	UUID2      uint32        // 56
	UUID3      uint32        // 60
	_          [64]byte      // 64
	Updated    uint32        // 128
	State      uint32        // 132
	_          [4]uint32     // 136: counts of devices
	Checksum   uint32        // 152
	Events     [2]uint32     // 156: the low half first where bytes are
	CheckEvent [2]uint32     // 164
	Recovered  uint32        // 172
	_          [80]byte      // 176: of a reshape
	Layout     uint32        // 256
	Chunk      uint32        // 260: bytes
	_          [248]byte     // 264
	Disks      [disks0]disk0 // 512
	This       disk0         // 3968
}

const checksum0Off = 152

// disk0 is a device in a superblock 0.90.
type disk0 struct {
	Number uint32    // 0
	Major  uint32    // 4
	Minor  uint32    // 8
	Role   uint32    // 12
	State  uint32    // 16
	_      [108]byte // 20
}

// States of a disk0.
const (
	stateFaulty  = 1 << 0
	stateActive  = 1 << 1
	stateSync    = 1 << 2
	stateRemoved = 1 << 3
)

// Levels of arrays.
const (
	levelLinear = -1
	levelStripe = 0
	levelMirror = 1
	levelTen    = 10
)

var le = binary.LittleEndian
