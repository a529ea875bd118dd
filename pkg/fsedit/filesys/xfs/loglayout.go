package xfs

// The log ("Journaling Log" of "XFS Algorithms & Data Structures"): a ring of
// records, counted in blocks of 512 bytes. The first word of each block is the
// number of the round in which it was written (its cycle), or the magic of a
// record, whose second word is the cycle. Record and operation headers are
// big-endian; what operations carry is in the order of the machine that wrote it,
// and only little-endian machines are known.
const (
	logBlock     = 512
	logBlockBits = 9

	logMagic     = 0xFEEDBABE
	logFormatLE  = 1
	logVersions  = 0x3
	logVersion2  = 0x2
	logCycleData = 64       // blocks whose first words one header keeps
	logHeaderFor = 32 << 10 // bytes of a record that one header block is for
	logMaxRecord = 256 << 10
	logMaxFlying = 8 // records that may have been on their way to the disk

	rhCycle     = 4
	rhVersion   = 8
	rhLen       = 12
	rhLSN       = 16
	rhTailLSN   = 24
	rhCRC       = 32 // little-endian
	rhPrev      = 36
	rhOps       = 40
	rhCycleData = 44
	rhFormat    = 300
	rhUUID      = 304
	rhSize      = 320
	rhLength    = 328 // the last 4 bytes are padding, which 32-bit machines leave out
	rhLength32  = 324
	rhExtLength = 4 + 4*logCycleData

	opHeader  = 12 // tid, length, client, flags, 2 unused
	opFlagsAt = 9

	opStart     = 0x01
	opCommit    = 0x02
	opContinue  = 0x04
	opWasCont   = 0x08
	opEnd       = 0x10
	opUnmount   = 0x20
	clientTrans = 0x69
	clientLog   = 0xAA

	transMagic  = 0x5452414E // "TRAN"
	transHeader = 16
	unmountText = 0x556E // "Un"
)

// Types of logged items.
const (
	itemEFI      = 0x1236
	itemEFD      = 0x1237
	itemInode    = 0x123B
	itemBuf      = 0x123C
	itemDquot    = 0x123D
	itemQuotaOff = 0x123E
	itemICreate  = 0x123F
	itemRUI      = 0x1240
	itemCUI      = 0x1242
	itemBUI      = 0x1244
	itemATTRI    = 0x1246
	itemXMI      = 0x1248
	itemEFIrt    = 0x124A
	itemRUIrt    = 0x124C
	itemCUIrt    = 0x124E
	itemLast     = 0x124F
)

const (
	maxRegions = 256 // of an item; a buffer of 64 KiB has at most 128 with data

	bufInode   = 0x1
	bufCancel  = 0x2
	bufQuotas  = 0x1C // user, project and group, in this order
	bufChunk   = 128  // bytes that one bit of the map stands for
	bufMapAt   = 20
	bufTypeBit = 11 // above it a number says what the buffer is

	ilCore    = 0x1
	ilDData   = 0x2
	ilDExt    = 0x4
	ilDBroot  = 0x8
	ilDev     = 0x10
	ilAData   = 0x40
	ilAExt    = 0x80
	ilABroot  = 0x100
	ilDOwner  = 0x200
	ilAOwner  = 0x400
	ilDFork   = ilDData | ilDExt | ilDBroot
	ilAFork   = ilAData | ilAExt | ilABroot
	ilFormat  = 56 // bytes; 52 where 64-bit numbers need no alignment
	ilPacked  = 52
	logCore2  = 96
	logCore3  = 176
	maxFlush  = 0xFFFF // the flush counter of version 2 wraps here
	inFlushAt = 30

	dquotSize  = 104
	dquotBlock = 136 // with checksum, LSN and UUID
	dquotCRC   = 108
	dquotLSN   = 112
)

// quotaTypes maps the flags of a quota that was turned off to the type in its
// records.
var quotaTypes = map[uint32]uint8{0x1: 1, 0x8: 2, 0x40: 4}

// lsn is a place in the log: cycle and block.
type lsn uint64

func (l lsn) cycle() uint32 { return uint32(l >> 32) }
func (l lsn) block() int64  { return int64(uint32(l)) }

// noLSN is what structures that are never logged carry.
const noLSN = ^lsn(0)
