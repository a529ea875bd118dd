package xfs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// superState is one reading of the superblock: its sector, and what it means.
type superState struct {
	raw []byte
	superblock
}

// geometry is what mkfs fixed and growfs changes, checked and in convenient
// units. A block number (fsblock) holds the number of its AG above agBits.
type geometry struct {
	features
	uuid       [16]byte // that metadata carries
	blockSize  int64
	blockBits  uint
	sectorSize int64
	inodeSize  int
	inodeBits  uint
	inopBits   uint // log2 of inodes per block
	agBits     uint
	agBlocks   uint32
	agCount    uint32
	blockCount uint64
	dirBits    uint // log2 of blocks per directory block
}

// readSuper reads the superblock at byte 0 and verifies magic and checksum.
// Bytes that are no XFS are ErrFormat.
func readSuper(dev blockdev.Device) (*superState, error) {
	at := ondisk.At(layer, "superblock", 0)
	raw := make([]byte, minSector)
	if err := ondisk.Full(dev, raw, 0); err != nil {
		if errors.Is(err, ondisk.ErrCorrupt) {
			return nil, at.Format("the device is too small")
		}
		return nil, at.Wrap(err)
	}
	s := &superState{raw: raw}
	var err error
	if s.superblock, err = decode[superblock](raw); err != nil {
		return nil, at.Wrap(err)
	}
	if s.Magic != superMagic {
		return nil, at.In("magic").Format("%#08x is not %#08x", s.Magic, superMagic)
	}
	f := s.features()
	if f.number != 4 && f.number != 5 {
		return nil, at.In("version").Unsupported("%d", f.number)
	}
	if s.SectSize < minSector || s.SectSize > 32<<10 || bits.OnesCount16(s.SectSize) != 1 {
		return nil, at.In("sector size").Corrupt("%d", s.SectSize)
	}
	if s.raw, err = ondisk.Bytes(dev, 0, int64(s.SectSize)); err != nil {
		return nil, at.Wrap(err)
	}
	if f.v5() {
		if err := superStamp.verify(s.raw, [16]byte{}, 0, 0, at); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sealSuper stores the checksum in the sector of a superblock that has one.
func sealSuper(raw []byte) {
	if be.Uint16(raw[100:])&versionMask == 5 {
		superStamp.seal(raw)
	}
}

// ident names the filesystem as blkid(8) does.
func (s *superState) ident() filesys.Ident {
	label, _, _ := bytes.Cut(s.FName[:], []byte{0})
	size, _ := ondisk.MulOK(int64(min(s.DBlocks, 1<<62)), int64(s.BlockSize))
	return filesys.Ident{Type: layer, UUID: formatUUID(s.UUID), Label: string(label), Size: size}
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
	at := ondisk.At(layer, "superblock", 0)
	g := geometry{
		features: s.features(), uuid: s.UUID,
		blockSize: int64(s.BlockSize), blockBits: uint(s.BlockLog), sectorSize: int64(s.SectSize),
		inodeSize: int(s.InodeSize), inodeBits: uint(s.InodeLog), inopBits: uint(s.InoPBLog),
		agBits: uint(s.AGBlkLog), agBlocks: s.AGBlocks, agCount: s.AGCount, blockCount: s.DBlocks,
		dirBits: uint(s.DirBlkLog),
	}
	if g.has(incompat, fiMetaUUID) {
		g.uuid = s.MetaUUID
	}
	if names := g.withPolicy(refuse); len(names) > 0 {
		return g, at.In("features").Unsupported("%v", names)
	}
	if !g.v5() && !g.has(versionBits, fvDirV2) {
		return g, at.In("features").Unsupported("directories of version 1")
	}
	if s.InProgress != 0 {
		return g, at.Corrupt("mkfs.xfs or xfs_copy did not finish it")
	}
	for _, check := range []func(*superState, ondisk.Place) error{g.checkSizes, g.checkGroups, g.checkLog} {
		if err := check(s, at); err != nil {
			return g, err
		}
	}
	if size, ok := ondisk.MulOK(int64(g.blockCount), g.blockSize); !ok || size > devSize {
		return g, at.In("blocks").Corrupt("%d blocks of %d bytes do not fit a device of %d bytes", g.blockCount, g.blockSize, devSize)
	}
	return g, nil
}

// power checks that a size is the power of two that its log says, within bounds.
func power(size, low, high int64, bits uint) bool {
	return size >= low && size <= high && bits < 63 && size == 1<<bits
}

func (g *geometry) checkSizes(s *superState, at ondisk.Place) error {
	switch {
	case !power(g.blockSize, 512, 64<<10, g.blockBits):
		return at.In("block size").Corrupt("%d", s.BlockSize)
	case !power(g.sectorSize, 512, 32<<10, uint(s.SectLog)) || g.sectorSize > g.blockSize:
		return at.In("sector size").Corrupt("%d", s.SectSize)
	case !power(int64(g.inodeSize), 256, 2048, g.inodeBits) || g.v5() && g.inodeSize < 512:
		return at.In("inode size").Corrupt("%d", s.InodeSize)
	case g.blockBits < g.inodeBits || g.inopBits != g.blockBits-g.inodeBits:
		return at.In("inodes per block").Corrupt("1 << %d", g.inopBits)
	case g.dirBits > 16-min(16, g.blockBits):
		return at.In("directory block size").Corrupt("%d << %d", g.blockSize, g.dirBits)
	}
	return nil
}

func (g *geometry) checkGroups(s *superState, at ondisk.Place) error {
	if int64(g.agBlocks)*g.blockSize < 4*g.sectorSize+g.blockSize || g.agCount == 0 {
		return at.In("allocation groups").Corrupt("%d of %d blocks", g.agCount, g.agBlocks)
	}
	if g.agBits != uint(bits.Len32(g.agBlocks-1)) {
		return at.In("log of the group size").Corrupt("%d, with %d blocks", g.agBits, g.agBlocks)
	}
	full := uint64(g.agCount) * uint64(g.agBlocks)
	if g.blockCount > full || g.blockCount+uint64(g.agBlocks) <= full {
		return at.In("blocks").Corrupt("%d in %d groups of %d", g.blockCount, g.agCount, g.agBlocks)
	}
	return nil
}

func (g *geometry) checkLog(s *superState, at ondisk.Place) error {
	if s.LogStart == 0 {
		return at.In("log").Unsupported("it is on another device")
	}
	if s.LogBlocks == 0 || int64(s.LogBlocks)<<g.blockBits > 1<<31 || !g.extentOK(s.LogStart, uint64(s.LogBlocks)) {
		return at.In("log").Corrupt("%d blocks from %#x on", s.LogBlocks, s.LogStart)
	}
	return nil
}

// agSize is the number of blocks of an AG; the last one may be shorter.
func (g *geometry) agSize(ag uint32) uint32 {
	return uint32(min(uint64(g.agBlocks), g.blockCount-uint64(ag)*uint64(g.agBlocks)))
}

// split gives the AG of a block, and its number there.
func (g *geometry) split(fsb uint64) (ag uint64, agbno uint32) {
	return fsb >> g.agBits, uint32(fsb & (1<<g.agBits - 1))
}

func (g *geometry) fsblock(ag, agbno uint32) uint64 { return uint64(ag)<<g.agBits | uint64(agbno) }

// extentOK reports whether n blocks from fsb on lie in one AG.
func (g *geometry) extentOK(fsb, n uint64) bool {
	ag, agbno := g.split(fsb)
	if ag >= uint64(g.agCount) {
		return false
	}
	size := uint64(g.agSize(uint32(ag)))
	return uint64(agbno) < size && n <= size-uint64(agbno)
}

// byteOff is where a block, which must exist, starts on the device.
func (g *geometry) byteOff(fsb uint64) int64 {
	ag, agbno := g.split(fsb)
	return int64(ag*uint64(g.agBlocks)+uint64(agbno)) << g.blockBits
}

// agSector is where a header of an AG starts on the device.
func (g *geometry) agSector(ag uint32, sector int64) int64 {
	return g.byteOff(g.fsblock(ag, 0)) + sector*g.sectorSize
}

// dirBlockSize is the bytes of a directory block.
func (g *geometry) dirBlockSize() int { return int(g.blockSize) << g.dirBits }
