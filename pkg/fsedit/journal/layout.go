package journal

const (
	layer     = "journal"
	signature = "LPKSHHRH"
)

// header begins a file. Newer ones are longer; nothing of the rest is needed.
// Little-endian, as everything.
type header struct {
	Signature      [8]byte // 0
	Compatible     uint32  // 8
	Incompatible   uint32  // 12
	State          uint8   // 16
	_              [7]byte // 17
	FileID         ID      // 24
	MachineID      ID      // 40
	TailBootID     ID      // 56
	SeqnumID       ID      // 72
	HeaderSize     uint64  // 88
	ArenaSize      uint64  // 96
	DataTable      uint64  // 104
	DataTableSize  uint64  // 112
	FieldTable     uint64  // 120
	FieldTableSize uint64  // 128
	TailObject     uint64  // 136
	Objects        uint64  // 144
	Entries        uint64  // 152
	TailSeqnum     uint64  // 160
	HeadSeqnum     uint64  // 168
	EntryArray     uint64  // 176
	HeadRealtime   uint64  // 184
	TailRealtime   uint64  // 192
	TailMonotonic  uint64  // 200
}

const headerMin = 208

// Incompatible flags.
const (
	flagXZ      = 1 << 0
	flagLZ4     = 1 << 1
	flagKeyed   = 1 << 2 // the hash tables use SipHash
	flagZSTD    = 1 << 3
	flagCompact = 1 << 4
	flagsKnown  = flagXZ | flagLZ4 | flagKeyed | flagZSTD | flagCompact
)

// objectHead begins every object, at a multiple of objectAlign.
type objectHead struct {
	Type  uint8   // 0
	Flags uint8   // 1
	_     [6]byte // 2
	Size  uint64  // 8  with this head
}

const (
	objectAlign    = 8
	objectHeadSize = 16
)

// Types of objects.
const (
	typeData       = 1
	typeEntry      = 3
	typeEntryArray = 6
	typeLast       = 7
)

// Compression of a data object, in its flags.
const (
	packedXZ   = 1 << 0
	packedLZ4  = 1 << 1
	packedZSTD = 1 << 2
	packedMask = packedXZ | packedLZ4 | packedZSTD
)

// entryHead is an entry without its items.
type entryHead struct {
	objectHead        // 0
	Seqnum     uint64 // 16
	Realtime   uint64 // 24  microseconds since 1970
	Monotonic  uint64 // 32  microseconds since boot
	Boot       ID     // 40
	Hash       uint64 // 56
}

const (
	entrySize = 64
	itemSize  = 16 // offset and hash
	// itemSizeCompact is an offset only.
	itemSizeCompact = 4
)

// arrayHead is an entry array without its items, offsets of 8 or, compact, 4 bytes.
type arrayHead struct {
	objectHead        // 0
	Next       uint64 // 16
}

const arraySize = 24

// Where the payload of a data object begins.
const (
	dataSize        = 64
	dataSizeCompact = 72
)
