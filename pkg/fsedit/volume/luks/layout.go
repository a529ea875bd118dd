package luks

import "encoding/binary"

const (
	sector     = 512 // unit of LUKS1's offsets and of every initial vector
	magicFirst = "LUKS\xba\xbe"
	magicOther = "SKUL\xba\xbe" // of LUKS2's second header
	header1Len = 592
	header2Len = 4096
	checkedLen = 512 // of the binary header: what it uses
	slots1     = 8
	slotOn     = 0x00ac71f3
)

// header1 is the header of LUKS1, big-endian; LUKS1 On-Disk Format Specification
// 1.2.3, figures 1 and 2.
type header1 struct {
	Magic      [6]byte       // 0
	Version    uint16        // 6
	Cipher     [32]byte      // 8: "aes"
	Mode       [32]byte      // 40: "xts-plain64"
	Hash       [32]byte      // 72
	DataOffset uint32        // 104: sectors
	KeyBytes   uint32        // 108
	Digest     [20]byte      // 112: of the volume key
	DigestSalt [32]byte      // 132
	DigestIter uint32        // 164
	UUID       [40]byte      // 168
	Slots      [slots1]slot1 // 208
}

// slot1 is one of the places for a passphrase in LUKS1.
type slot1 struct {
	Active  uint32   // 0
	Iter    uint32   // 4
	Salt    [32]byte // 8
	Offset  uint32   // 40: sectors
	Stripes uint32   // 44
}

// header2 is the binary header of LUKS2, big-endian; LUKS2 On-Disk Format
// Specification 1.1.3, chapter 2. Text in JSON follows up to Size.
type header2 struct {
	Magic     [6]byte    // 0
	Version   uint16     // 6
	Size      uint64     // 8: with the text
	Sequence  uint64     // 16
	Label     [48]byte   // 24
	SumAlg    [32]byte   // 72
	Salt      [64]byte   // 104
	UUID      [40]byte   // 168
	Subsystem [48]byte   // 208
	Offset    uint64     // 256: where the header itself lies
	_         [184]byte  // 264
	Sum       [64]byte   // 448: of all Size bytes, with zeros here
	_         [3584]byte // 512
}

const (
	sumOff = 448
	sumLen = 64
)

// sizes2 are what a header of LUKS2 may take, and so where a second one may lie.
var sizes2 = []int64{16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}

// Bounds of LUKS2's text, chapter 3 of the specification and cryptsetup's own.
const (
	maxObjects = 32 // of each kind
	maxNesting = 16
	maxNodes   = 2048     // objects and lists in all
	maxKeyLen  = 64       // of a volume key without integrity
	maxAreaLen = 16 << 20 // of a slot's material
)

var be = binary.BigEndian
