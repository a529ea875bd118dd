package ext

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// The journal, in the format of jbd2 ("Journal (jbd2)" of the kernel's ext4
// documentation): a file whose first block is a superblock and whose others are
// a ring of transactions. All integers are big-endian.

var be = binary.BigEndian

const (
	journalMagic     = 0xC03B3998
	journalSuperSize = 1024
	journalHeader    = 12 // magic, type, sequence

	blockDescriptor = 1
	blockCommit     = 2
	blockSuperV1    = 3
	blockSuperV2    = 4
	blockRevoke     = 5
)

// journalSuper is struct journal_superblock_s, as far as it is used.
type journalSuper struct {
	Magic        uint32     // 0x00
	BlockType    uint32     // 0x04
	_            uint32     // 0x08
	BlockSize    uint32     // 0x0C
	MaxLen       uint32     // 0x10 blocks
	First        uint32     // 0x14 first block of the log
	Sequence     uint32     // 0x18 of the first transaction
	Start        uint32     // 0x1C block of the first transaction; 0 when clean
	Errno        uint32     // 0x20
	Compat       uint32     // 0x24
	Incompat     uint32     // 0x28
	ROCompat     uint32     // 0x2C
	UUID         [16]byte   // 0x30
	Users        uint32     // 0x40
	DynSuper     uint32     // 0x44
	_            [2]uint32  // 0x48
	ChecksumType uint8      // 0x50
	_            [3]uint8   // 0x51
	FCBlocks     uint32     // 0x54
	Head         uint32     // 0x58
	_            [40]uint32 // 0x5C
	Checksum     uint32     // 0xFC
}

// Offsets in the journal superblock that a replay patches.
const (
	jsSequence = 0x18
	jsStart    = 0x1C
	jsErrno    = 0x20
	jsChecksum = 0xFC
)

const (
	jcChecksum = 0x1 // CRC-32 over a transaction, in its commit block

	jiRevoke      = 0x1
	ji64Bit       = 0x2
	jiAsyncCommit = 0x4
	jiChecksumV2  = 0x8
	jiChecksumV3  = 0x10
	jiFastCommit  = 0x20
	jiKnown       = jiRevoke | ji64Bit | jiAsyncCommit | jiChecksumV2 | jiChecksumV3 | jiFastCommit
)

// journal is the log of one volume.
type journal struct {
	v           *volume
	in          *inode
	blocks      mapper
	raw         []byte // of the superblock
	super       journalSuper
	seed        uint32 // start of checksums
	first, last uint32 // the ring is [first, last)
}

// recover replays the journal when the filesystem was not unmounted, as a
// mount does: dirty is the feature flag together with a log that has a start.
func (v *volume) recover(ctx context.Context) error {
	s := v.super()
	if !s.needsRecovery() {
		return nil
	}
	if !v.hasCompat(fcHasJournal) {
		return ondisk.At(layer, "superblock", superOffset).Corrupt("needs recovery, and has no journal")
	}
	if s.JournalInode == 0 {
		return ondisk.At(layer, "superblock", superOffset).Unsupported("needs recovery, and its journal is on another device")
	}
	j, err := v.openJournal()
	if err != nil {
		return err
	}
	dev, ok := v.dev.(blockdev.Writable)
	if !ok {
		if j.super.Start == 0 {
			return nil
		}
		return ondisk.At(layer, "journal", ondisk.NoOffset).Wrap(
			ondisk.Because(ondisk.ErrReadOnly, "it must be replayed, and the device cannot be written"))
	}
	return j.recover(ctx, dev)
}

// openJournal reads the superblock of the journal in the journal inode.
func (v *volume) openJournal() (*journal, error) {
	in, err := v.journalInode()
	if err != nil {
		return nil, err
	}
	j := &journal{v: v, in: in, blocks: v.mapOf(in)}
	block, err := j.read(0)
	if err != nil {
		return nil, err
	}
	j.raw = block[:journalSuperSize]
	if _, err := binary.Decode(j.raw, be, &j.super); err != nil {
		return nil, err
	}
	return j, j.check()
}

// journalInode is the journal's inode, or what the superblock keeps of it for
// when that is lost.
func (v *volume) journalInode() (*inode, error) {
	s := v.super()
	in, err := v.inode(s.JournalInode)
	if err == nil && in.mode().IsRegular() && in.Links > 0 && !in.has(flInlineData) {
		return in, nil
	}
	if s.JnlBackupType != 1 {
		if err == nil {
			err = in.at().Corrupt("it is no journal")
		}
		return nil, err
	}
	in = &inode{num: s.JournalInode, off: superOffset, raw: make([]byte, v.inodeSize)}
	for i, word := range s.JnlBlocks[:15] {
		le.PutUint32(in.raw[inBlock+4*i:], word)
	}
	le.PutUint32(in.raw[inSizeHi:], s.JnlBlocks[15])
	le.PutUint32(in.raw[inSizeLo:], s.JnlBlocks[16])
	le.PutUint16(in.raw[inMode:], 0o100600)
	if le.Uint16(in.raw[inBlock:]) == extentMagic {
		le.PutUint32(in.raw[inFlags:], flExtents)
	}
	in.diskInode = decodeInode(in.raw)
	return in, nil
}

func (j *journal) at() ondisk.Place { return ondisk.At(layer, "journal superblock", ondisk.NoOffset) }

func (j *journal) has(incompat uint32) bool { return j.super.Incompat&incompat != 0 }

// checksums reports whether the blocks of the log carry CRC-32C.
func (j *journal) checksums() bool { return j.has(jiChecksumV2 | jiChecksumV3) }

func (j *journal) check() error {
	s := &j.super
	if s.Magic != journalMagic || s.BlockType != blockSuperV1 && s.BlockType != blockSuperV2 {
		return j.at().Corrupt("magic %#08x, type %d", s.Magic, s.BlockType)
	}
	if s.BlockType == blockSuperV1 {
		s.Compat, s.Incompat, s.ROCompat = 0, 0, 0
	}
	if unknown := s.Incompat &^ jiKnown; unknown != 0 {
		return j.at().Unsupported("incompat bits %#x", unknown)
	}
	if s.ROCompat != 0 {
		return j.at().Unsupported("ro_compat bits %#x", s.ROCompat)
	}
	if j.has(jiChecksumV2) && j.has(jiChecksumV3) || j.checksums() && s.Compat&jcChecksum != 0 {
		return j.at().Corrupt("two kinds of checksums")
	}
	if j.checksums() {
		if s.ChecksumType != 4 {
			return j.at().Unsupported("checksum type %d", s.ChecksumType)
		}
		if sum := journalSuperSum(j.raw); sum != s.Checksum {
			return j.at().Corrupt("checksum %#08x, computed %#08x", s.Checksum, sum)
		}
		j.seed = crc32c(allOnes, s.UUID[:])
	}
	return j.checkRing()
}

func (j *journal) checkRing() error {
	s := &j.super
	blocks := uint64(j.in.size(j.v)) >> j.v.blockBits
	if int64(s.BlockSize) != j.v.blockSize || uint64(s.MaxLen) > blocks {
		return j.at().Corrupt("%d blocks of %d bytes in a file of %d", s.MaxLen, s.BlockSize, j.in.size(j.v))
	}
	fast := uint32(0)
	if j.has(jiFastCommit) {
		if fast = s.FCBlocks; fast == 0 {
			fast = 256
		}
	}
	if s.First == 0 || fast >= s.MaxLen || s.First >= s.MaxLen-fast {
		return j.at().Corrupt("a log from %d in %d blocks, the last %d of them for fast commits", s.First, s.MaxLen, fast)
	}
	j.first, j.last = s.First, s.MaxLen-fast
	if s.Start != 0 && (s.Start < j.first || s.Start >= j.last) {
		return j.at().Corrupt("start %d outside of %d to %d", s.Start, j.first, j.last)
	}
	return nil
}

// journalSuperSum is the checksum of a journal superblock of 1024 bytes.
func journalSuperSum(raw []byte) uint32 {
	c := crc32c(allOnes, raw[:jsChecksum])
	c = crc32c(c, zeros[:4])
	return crc32c(c, raw[jsChecksum+4:journalSuperSize])
}

// place is where block n of the journal lies on the device.
func (j *journal) place(n uint32) (int64, error) {
	r, err := j.blocks.find(uint64(n))
	if err != nil {
		return 0, err
	}
	if r.kind != runData {
		return 0, j.in.at().Corrupt("block %d of the journal is not there", n)
	}
	return j.v.byteOff(r.phys + uint64(n) - r.logical), nil
}

// read returns block n of the journal, not through the cache.
func (j *journal) read(n uint32) ([]byte, error) {
	off, err := j.place(n)
	if err != nil {
		return nil, err
	}
	p := make([]byte, j.v.blockSize)
	return p, ondisk.At(layer, "journal block", off).Wrap(ondisk.Full(j.v.dev, p, off))
}

// after is the position n blocks behind pos in the ring.
func (j *journal) after(pos, n uint32) uint32 {
	pos += n
	if pos >= j.last {
		pos -= j.last - j.first
	}
	return pos
}
