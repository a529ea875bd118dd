package qcow2

// Sizes and caps of the format. The caps are those that QEMU enforces, so that
// an image which QEMU opens is not refused here.
const (
	magic = 0x514649fb // "QFI\xfb"

	headerV2Size   = 72
	headerV3Size   = 104
	headerFullSize = 112 // with the compression type and its padding

	minClusterBits         = 9
	maxClusterBits         = 21
	minExtendedClusterBits = 14
	subclusters            = 32 // in a cluster with extended L2 entries

	maxL1Bytes            = 32 << 20
	maxRefcountTableBytes = 8 << 20
	maxSnapshots          = 65536
	maxBackingName        = 1023
	maxExtensions         = 256
	maxRefcountOrder      = 6
)

// Incompatible feature bits: a reader that does not know one must refuse.
const (
	incompatDirty       = 1 << 0
	incompatCorrupt     = 1 << 1
	incompatDataFile    = 1 << 2
	incompatCompression = 1 << 3
	incompatExtendedL2  = 1 << 4

	incompatKnown = incompatDirty | incompatCorrupt | incompatDataFile | incompatCompression | incompatExtendedL2
)

// Compatible and autoclear feature bits.
const (
	compatLazyRefcounts = 1 << 0

	autoclearBitmaps = 1 << 0
	autoclearRawData = 1 << 1
)

// Values of the header's method fields.
const (
	cryptNone = 0
	cryptAES  = 1
	cryptLUKS = 2

	compressionZlib = 0 // raw deflate, in spite of the name
	compressionZstd = 1
)

// Types of header extensions.
const (
	extEnd           = 0
	extBackingFormat = 0xe2792aca
	extFeatureNames  = 0x6803f857
	extBitmaps       = 0x23852875
	extCrypto        = 0x0537be77
	extDataFile      = 0x44415441
)

// Bits of L1 and L2 entries.
const (
	offsetMask  = 0x00fffffffffffe00
	flagCopied  = 1 << 63 // the refcount is exactly one
	flagPacked  = 1 << 62 // compressed cluster
	flagZero    = 1 << 0  // reads as zeros; not with extended entries
	allocMask   = 0xffffffff
	sectorSize  = 512
	reservedL1  = ^uint64(offsetMask | flagCopied)
	reservedStd = ^uint64(offsetMask | flagCopied | flagPacked | flagZero)
)

// diskHeader is the header of version 3; version 2 ends before Incompatible.
// All integers of the format are big-endian.
type diskHeader struct {
	Magic                 uint32 // 0
	Version               uint32 // 4
	BackingOffset         uint64 // 8
	BackingSize           uint32 // 16
	ClusterBits           uint32 // 20
	Size                  uint64 // 24
	CryptMethod           uint32 // 32
	L1Size                uint32 // 36
	L1Offset              uint64 // 40
	RefcountTableOffset   uint64 // 48
	RefcountTableClusters uint32 // 56
	Snapshots             uint32 // 60
	SnapshotsOffset       uint64 // 64
	Incompatible          uint64 // 72
	Compatible            uint64 // 80
	Autoclear             uint64 // 88
	RefcountOrder         uint32 // 96
	HeaderLength          uint32 // 100
}

// Offsets of header fields that are patched in place.
const (
	offRefcountTable = 48
	offAutoclear     = 88
	offCompression   = 104
)

// diskSnapshot is the fixed part of an entry of the snapshot table. The extra
// data, the id and the name follow, then padding to 8 bytes.
type diskSnapshot struct {
	L1Offset    uint64 // 0
	L1Size      uint32 // 8
	IDSize      uint16 // 12
	NameSize    uint16 // 14
	Seconds     uint32 // 16
	Nanoseconds uint32 // 20
	Clock       uint64 // 24
	StateSize   uint32 // 32
	ExtraSize   uint32 // 36
}

// diskBitmap is the fixed part of an entry of the bitmap directory. The extra
// data and the name follow, then padding to 8 bytes.
type diskBitmap struct {
	TableOffset uint64 // 0
	TableSize   uint32 // 8
	Flags       uint32 // 12
	Type        uint8  // 16
	Granularity uint8  // 17
	NameSize    uint16 // 18
	ExtraSize   uint32 // 20
}

const (
	diskSnapshotSize = 40
	diskBitmapSize   = 24
)

// geometry is what turns a guest offset into table indexes.
type geometry struct {
	clusterBits uint
	extended    bool // L2 entries of 16 bytes with a bitmap of subclusters
}

func (g geometry) clusterSize() int64 { return 1 << g.clusterBits }

func (g geometry) entrySize() int64 {
	if g.extended {
		return 16
	}
	return 8
}

// tableEntries is how many clusters one L2 table maps.
func (g geometry) tableEntries() int64 { return g.clusterSize() / g.entrySize() }

// tableSpan is how many guest bytes one L2 table maps.
func (g geometry) tableSpan() int64 { return g.tableEntries() << g.clusterBits }

func (g geometry) subclusterSize() int64 { return g.clusterSize() / subclusters }

// l1Entries is how many L1 entries a disk of size bytes needs.
func (g geometry) l1Entries(size int64) int64 {
	span := g.tableSpan()
	n := size / span
	if size%span != 0 {
		n++
	}
	return n
}

// packedBits is how many low bits of a compressed entry hold the host offset.
func (g geometry) packedBits() uint { return 62 - (g.clusterBits - 8) }
