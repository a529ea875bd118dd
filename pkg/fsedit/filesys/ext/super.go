package ext

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// superState is one reading of the superblock: its bytes, and what they mean.
// It is never changed; an edit patches a copy of raw and seals that.
type superState struct {
	raw [superSize]byte
	superblock
}

// geometry is what mkfs fixed, checked and in convenient units.
type geometry struct {
	features
	uuid             [16]byte
	seed             uint32 // start of metadata checksums
	blockSize        int64
	blockBits        uint
	clusterBits      uint // log2 of blocks per cluster; 0 but for bigalloc
	blockCount       uint64
	firstData        uint64 // block where group 0 starts
	groupCount       uint32
	blocksPerGroup   uint32
	clustersPerGroup uint32
	inodeCount       uint32
	inodesPerGroup   uint32
	firstInode       uint32 // first that is not reserved
	inodeSize        int
	descSize         int
	descsPerBlock    uint32
	gdtBlocks        uint32 // blocks that hold all descriptors
	reservedGDT      uint32 // blocks after those, kept for growth
	firstMetaBG      uint32
	backupBGs        [2]uint32
}

// readSuper reads the superblock at byte 1024 and verifies magic and checksum.
// Bytes that are no ext filesystem are ErrFormat.
func readSuper(dev blockdev.Device) (*superState, error) {
	s := new(superState)
	at := ondisk.At(layer, "superblock", superOffset)
	if err := ondisk.Full(dev, s.raw[:], superOffset); err != nil {
		if errors.Is(err, ondisk.ErrCorrupt) {
			return nil, at.Format("the device is too small")
		}
		return nil, at.Wrap(err)
	}
	if err := s.decode(); err != nil {
		return nil, at.Wrap(err)
	}
	if s.Magic != superMagic {
		return nil, at.In("magic").Format("%#04x is not %#04x", s.Magic, superMagic)
	}
	if !s.features().checksums() {
		return s, nil
	}
	if s.ChecksumType != 1 {
		return nil, at.In("checksum type").Unsupported("%d", s.ChecksumType)
	}
	if sum := superSum(s.raw[:]); sum != s.Checksum {
		return nil, at.In("checksum").Corrupt("%#08x, computed %#08x", s.Checksum, sum)
	}
	return s, nil
}

// decode reads the fields. Revision 0 ends before the features, and its bytes
// after that mean nothing.
func (s *superState) decode() error {
	if _, err := binary.Decode(s.raw[:], le, &s.superblock); err != nil {
		return err
	}
	if s.RevLevel == 0 {
		s.FirstInode, s.InodeSize = 11, oldInodeSize
		s.FeatureCompat, s.FeatureIncompat, s.FeatureROCompat = 0, 0, 0
	}
	return nil
}

// sealSuper stores the checksum in the bytes of a superblock that has one.
func sealSuper(raw []byte) {
	if le.Uint32(raw[sbFeatureROCompat:])&frMetadataCsum != 0 {
		le.PutUint32(raw[sbChecksum:], superSum(raw))
	}
}

func (s *superState) features() features {
	return features{s.FeatureCompat, s.FeatureIncompat, s.FeatureROCompat}
}

func (s *superState) wide(lo, hi uint32) uint64 {
	if s.FeatureIncompat&fi64Bit == 0 {
		hi = 0
	}
	return uint64(lo) | uint64(hi)<<32
}

func (s *superState) blockCount() uint64     { return s.wide(s.BlocksCountLo, s.BlocksCountHi) }
func (s *superState) freeBlocks() uint64     { return s.wide(s.FreeBlocksLo, s.FreeBlocksHi) }
func (s *superState) reservedBlocks() uint64 { return s.wide(s.ReservedBlocksLo, s.ReservedBlocksHi) }

// needsRecovery reports the flag that a mounted or crashed filesystem carries.
func (s *superState) needsRecovery() bool { return s.FeatureIncompat&fiRecover != 0 }

// ident names the filesystem as blkid(8) does: by the features that only the
// later of the three drivers understands.
func (s *superState) ident() filesys.Ident {
	const ext3Incompat = fiFiletype | fiRecover | fiMetaBG
	const ext3ROCompat = frSparseSuper | frLargeFile | frBtreeDir
	f := s.features()
	kind := "ext2"
	switch {
	case f.incompat&^ext3Incompat != 0 || f.roCompat&^ext3ROCompat != 0:
		kind = "ext4"
	case f.hasCompat(fcHasJournal):
		kind = "ext3"
	}
	label, _, _ := bytes.Cut(s.VolumeName[:], []byte{0})
	size, _ := ondisk.MulOK(int64(s.blockCount()), 1024<<min(s.LogBlockSize, 6))
	return filesys.Ident{Type: kind, UUID: formatUUID(s.UUID), Label: string(label), Size: size}
}

func formatUUID(u [16]byte) string {
	if u == [16]byte{} {
		return ""
	}
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// geometry checks everything that later arithmetic relies on.
func (s *superState) geometry(devSize int64) (geometry, error) {
	at := ondisk.At(layer, "superblock", superOffset)
	g := geometry{
		features:         s.features(),
		uuid:             s.UUID,
		blockCount:       s.blockCount(),
		firstData:        uint64(s.FirstDataBlock),
		blocksPerGroup:   s.BlocksPerGroup,
		clustersPerGroup: s.BlocksPerGroup,
		inodeCount:       s.InodesCount,
		inodesPerGroup:   s.InodesPerGroup,
		firstInode:       s.FirstInode,
		inodeSize:        int(s.InodeSize),
		descSize:         descSize32,
		reservedGDT:      uint32(s.ReservedGDTBlocks),
		firstMetaBG:      s.FirstMetaBG,
		backupBGs:        s.BackupBGs,
	}
	if names := g.withPolicy(refuse); len(names) > 0 {
		return g, at.In("features").Unsupported("%v", names)
	}
	if s.LogBlockSize > 6 {
		return g, at.In("block size").Corrupt("1024 << %d", s.LogBlockSize)
	}
	g.blockBits = uint(10 + s.LogBlockSize)
	g.blockSize = 1 << g.blockBits
	g.seed = crc32c(allOnes, s.UUID[:])
	if g.hasIncompat(fiCsumSeed) {
		g.seed = s.ChecksumSeed
	}
	for _, check := range []func(*superState, ondisk.Place) error{g.checkClusters, g.checkGroups, g.checkInodes, g.checkDescs} {
		if err := check(s, at); err != nil {
			return g, err
		}
	}
	if size, ok := ondisk.MulOK(int64(g.blockCount), g.blockSize); !ok || size > devSize {
		return g, at.In("blocks").Corrupt("%d blocks of %d bytes do not fit a device of %d bytes", g.blockCount, g.blockSize, devSize)
	}
	return g, nil
}

func (g *geometry) checkClusters(s *superState, at ondisk.Place) error {
	if !g.hasROCompat(frBigalloc) {
		return nil
	}
	if s.LogClusterSize < s.LogBlockSize || s.LogClusterSize-s.LogBlockSize > 16 {
		return at.In("cluster size").Corrupt("1024 << %d with blocks of 1024 << %d", s.LogClusterSize, s.LogBlockSize)
	}
	g.clusterBits = uint(s.LogClusterSize - s.LogBlockSize)
	g.clustersPerGroup = s.ClustersPerGroup
	if uint64(s.ClustersPerGroup)<<g.clusterBits != uint64(s.BlocksPerGroup) {
		return at.In("clusters per group").Corrupt("%d, with %d blocks per group", s.ClustersPerGroup, s.BlocksPerGroup)
	}
	return nil
}

func (g *geometry) checkGroups(s *superState, at ondisk.Place) error {
	perBitmap := uint32(g.blockSize * 8)
	if g.clustersPerGroup == 0 || g.clustersPerGroup > perBitmap || g.clustersPerGroup%8 != 0 {
		return at.In("blocks per group").Corrupt("%d", g.clustersPerGroup)
	}
	first := uint64(0)
	if g.blockSize == 1024 && g.clusterBits == 0 {
		first = 1 // block 0 is the boot block
	}
	if g.firstData != first || g.blockCount <= first {
		return at.In("blocks").Corrupt("%d, the first of them %d", g.blockCount, g.firstData)
	}
	n := (g.blockCount - g.firstData + uint64(g.blocksPerGroup) - 1) / uint64(g.blocksPerGroup)
	if n > 1<<32-1 {
		return at.In("groups").Corrupt("%d", n)
	}
	g.groupCount = uint32(n)
	return nil
}

func (g *geometry) checkInodes(s *superState, at ondisk.Place) error {
	if g.inodeSize < oldInodeSize || int64(g.inodeSize) > g.blockSize || bits.OnesCount(uint(g.inodeSize)) != 1 {
		return at.In("inode size").Corrupt("%d", g.inodeSize)
	}
	if g.inodesPerGroup == 0 || g.inodesPerGroup > uint32(g.blockSize*8) || g.inodesPerGroup%8 != 0 {
		return at.In("inodes per group").Corrupt("%d", g.inodesPerGroup)
	}
	if uint64(g.groupCount)*uint64(g.inodesPerGroup) != uint64(g.inodeCount) {
		return at.In("inodes").Corrupt("%d in %d groups of %d", g.inodeCount, g.groupCount, g.inodesPerGroup)
	}
	if g.firstInode < inoJournal || g.firstInode > g.inodeCount {
		return at.In("first inode").Corrupt("%d", g.firstInode)
	}
	return nil
}

func (g *geometry) checkDescs(s *superState, at ondisk.Place) error {
	if g.hasIncompat(fi64Bit) {
		g.descSize = int(s.DescSize)
		if g.descSize < descSize64 || g.descSize > 1024 || bits.OnesCount(uint(g.descSize)) != 1 {
			return at.In("descriptor size").Corrupt("%d", g.descSize)
		}
	}
	g.descsPerBlock = uint32(g.blockSize) / uint32(g.descSize)
	g.gdtBlocks = uint32((uint64(g.groupCount) + uint64(g.descsPerBlock) - 1) / uint64(g.descsPerBlock))
	return nil
}

// inVolume reports whether the n blocks from b on belong to the filesystem.
func (g *geometry) inVolume(b, n uint64) bool {
	return b >= g.firstData && b < g.blockCount && n <= g.blockCount-b
}

// byteOff is where block b, which must be in the volume, starts on the device.
func (g *geometry) byteOff(b uint64) int64 { return int64(b) << g.blockBits }

// blocksOf is how many blocks hold n bytes.
func (g *geometry) blocksOf(n int64) uint64 { return uint64(ondisk.DivUp(n, g.blockSize)) }
