package vhd

import "encoding/binary"

// Sizes and constants of the format. All integers are big-endian.
const (
	layer = "vhd"

	footerCookie = "conectix"
	headerCookie = "cxsparse"

	sectorSize      = 512
	footerSize      = 512
	shortFooterSize = 511 // as Virtual PC wrote it before 2004
	headerSize      = 1024
	locatorCount    = 8

	version1   = 0x00010000
	noOffset   = 1<<64 - 1  // in place of an offset that does not apply
	noBlock    = 1<<32 - 1  // table entry of a block that is not stored
	epoch      = 946684800  // 2000-01-01 UTC in Unix time
	featureSet = 0x00000002 // a reserved bit that is always set

	// maxSize is what Microsoft's own programs accept.
	maxSize = 2040 << 30
)

// Values of diskFooter.DiskType.
const (
	typeFixed        = 2
	typeDynamic      = 3
	typeDifferencing = 4
)

// Platforms of a parent locator that are used here.
const platformRelative = "W2ru" // relative path in UTF-16, little-endian

// diskFooter ends every image; sparse ones have a copy of it at offset 0.
// Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format".
type diskFooter struct {
	Cookie         [8]byte   // 0
	Features       uint32    // 8
	Version        uint32    // 12
	DataOffset     uint64    // 16: of the sparse header
	Timestamp      uint32    // 24: seconds since 2000
	Creator        [4]byte   // 28
	CreatorVersion uint32    // 32
	CreatorHost    [4]byte   // 36
	OriginalSize   uint64    // 40
	CurrentSize    uint64    // 48
	Cylinders      uint16    // 56
	Heads          uint8     // 58
	Sectors        uint8     // 59: of a track
	DiskType       uint32    // 60
	Checksum       uint32    // 64
	UUID           [16]byte  // 68
	SavedState     uint8     // 84
	_              [427]byte // 85
}

// diskHeader describes the blocks of a sparse image. "Dynamic Disk Header Format".
type diskHeader struct {
	Cookie          [8]byte                   // 0
	NextOffset      uint64                    // 8: unused
	TableOffset     uint64                    // 16
	Version         uint32                    // 24
	MaxEntries      uint32                    // 28
	BlockSize       uint32                    // 32
	Checksum        uint32                    // 36
	ParentUUID      [16]byte                  // 40
	ParentTimestamp uint32                    // 56
	_               uint32                    // 60
	ParentName      [512]byte                 // 64: UTF-16, big-endian
	Locators        [locatorCount]diskLocator // 576
	_               [256]byte                 // 768
}

// diskLocator says where a path of the parent is stored.
type diskLocator struct {
	Platform [4]byte // 0
	Space    uint32  // 4: room for the path; sectors or bytes, writers differ
	Length   uint32  // 8: bytes of the path
	_        uint32  // 12
	Offset   uint64  // 16
}

// Offsets of the checksums in their structures.
const (
	offFooterChecksum = 64
	offHeaderChecksum = 36
)

// checksum is the complement of the sum of all bytes but those of the checksum
// itself, which lies at offset at.
func checksum(p []byte, at int) uint32 {
	var sum uint32
	for i, c := range p {
		if i < at || i >= at+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}

// seal puts the checksum into its place.
func seal(p []byte, at int) { binary.BigEndian.PutUint32(p[at:], checksum(p, at)) }

func sealed(p []byte, at int) bool { return binary.BigEndian.Uint32(p[at:]) == checksum(p, at) }

// encode is a structure in disk order, with its checksum.
func encode[T diskFooter | diskHeader](v *T, checksumAt int) []byte {
	p := make([]byte, binary.Size(v))
	// The structures have a fixed size and fit, so that encoding cannot fail.
	_, _ = binary.Encode(p, binary.BigEndian, v)
	seal(p, checksumAt)
	return p
}
