package ext

import (
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// inode is one inode: its bytes, a private copy of inodeSize that an edit may
// patch, and their meaning when read.
type inode struct {
	num uint32
	off int64 // on the device
	raw []byte
	diskInode
}

func decodeInode(p []byte) diskInode {
	n := diskInode{
		Mode:       le.Uint16(p[0x00:]),
		UIDLo:      le.Uint16(p[0x02:]),
		SizeLo:     le.Uint32(p[0x04:]),
		Atime:      le.Uint32(p[0x08:]),
		Ctime:      le.Uint32(p[0x0C:]),
		Mtime:      le.Uint32(p[0x10:]),
		Dtime:      le.Uint32(p[0x14:]),
		GIDLo:      le.Uint16(p[0x18:]),
		Links:      le.Uint16(p[0x1A:]),
		BlocksLo:   le.Uint32(p[0x1C:]),
		Flags:      le.Uint32(p[0x20:]),
		VersionLo:  le.Uint32(p[0x24:]),
		Block:      [60]byte(p[0x28:]),
		Generation: le.Uint32(p[0x64:]),
		FileACLLo:  le.Uint32(p[0x68:]),
		SizeHi:     le.Uint32(p[0x6C:]),
		ObsoFaddr:  le.Uint32(p[0x70:]),
		BlocksHi:   le.Uint16(p[0x74:]),
		FileACLHi:  le.Uint16(p[0x76:]),
		UIDHi:      le.Uint16(p[0x78:]),
		GIDHi:      le.Uint16(p[0x7A:]),
		ChecksumLo: le.Uint16(p[0x7C:]),
	}
	if len(p) > oldInodeSize {
		decodeExtra(&n, p)
	}
	return n
}

// decodeExtra reads the fields that ExtraIsize covers; the others stay zero,
// because their bytes belong to extended attributes.
func decodeExtra(n *diskInode, p []byte) {
	n.ExtraIsize = le.Uint16(p[0x80:])
	end := oldInodeSize + int(n.ExtraIsize)
	u32 := func(off int) uint32 {
		if off+4 > end {
			return 0
		}
		return le.Uint32(p[off:])
	}
	if end >= 0x84 {
		n.ChecksumHi = le.Uint16(p[0x82:])
	}
	n.CtimeExtra = u32(0x84)
	n.MtimeExtra = u32(0x88)
	n.AtimeExtra = u32(0x8C)
	n.Crtime = u32(0x90)
	n.CrtimeExtra = u32(0x94)
	n.VersionHi = u32(0x98)
	n.ProjID = u32(0x9C)
}

// inode reads and verifies inode num, which must be in use.
func (v *volume) inode(num uint32) (*inode, error) {
	in, err := v.rawInode(num)
	if err != nil {
		return nil, err
	}
	at := in.at()
	if v.checksums() {
		if sum := inodeSum(v.seed, num, in.raw); sum != storedInodeSum(in.raw) {
			return nil, at.Corrupt("checksum %#08x, computed %#08x", storedInodeSum(in.raw), sum)
		}
	}
	if in.Mode == 0 && in.Links == 0 {
		return nil, at.Corrupt("it is not in use")
	}
	if in.size(v) < 0 || in.size(v)>>v.blockBits > 1<<32 {
		return nil, at.In("size").Corrupt("%d", uint64(in.SizeLo)|uint64(in.SizeHi)<<32)
	}
	return in, nil
}

// rawInode reads inode num, in use or not, with no more than its place and its
// own lengths verified.
func (v *volume) rawInode(num uint32) (*inode, error) {
	if num == 0 || num > v.inodeCount {
		return nil, ondisk.At(layer, "inode", ondisk.NoOffset).Corrupt("number %d of %d", num, v.inodeCount)
	}
	off, follow, err := v.inodePlace(num)
	if err != nil {
		return nil, err
	}
	block, err := v.readBlocks(uint64(off)>>v.blockBits, follow)
	if err != nil {
		return nil, err
	}
	start := int(off & (v.blockSize - 1))
	in := &inode{num: num, off: off, raw: append([]byte(nil), block[start:start+v.inodeSize]...)}
	if v.inodeSize > oldInodeSize {
		if extra := le.Uint16(in.raw[inExtraIsize:]); int(extra) > v.inodeSize-oldInodeSize || extra%4 != 0 {
			return nil, in.at().In("extra size").Corrupt("%d", extra)
		}
	}
	in.diskInode = decodeInode(in.raw)
	return in, nil
}

// inodePlace is where inode num, from 1 to inodeCount, lies on the device, and
// how many blocks of the inode table there are from there on.
func (v *volume) inodePlace(num uint32) (off int64, follow uint64, err error) {
	g, err := v.group((num - 1) / v.inodesPerGroup)
	if err != nil {
		return 0, 0, err
	}
	i := (num - 1) % v.inodesPerGroup
	if v.groupChecksums() && (g.Flags&bgInodeUninit != 0 || g.itableUnused() > v.inodesPerGroup-i-1) {
		return 0, 0, ondisk.At(layer, "group descriptor", g.off).Corrupt("inode %d lies in the part of the table that was never used", num)
	}
	at := int64(i) * int64(v.inodeSize)
	return v.byteOff(g.inodeTable()) + at, v.inodeTableBlocks() - uint64(at)>>v.blockBits, nil
}

func (in *inode) at() ondisk.Place {
	return ondisk.At(layer, "inode", in.off).In("inode %d", in.num)
}

func (in *inode) mode() filesys.Mode     { return filesys.Mode(in.Mode) }
func (in *inode) has(flag uint32) bool   { return in.Flags&flag != 0 }
func (in *inode) uid() uint32            { return wide16(in.UIDLo, in.UIDHi) }
func (in *inode) gid() uint32            { return wide16(in.GIDLo, in.GIDHi) }
func (in *inode) iseed(v *volume) uint32 { return inodeSeed(v.seed, in.num, in.Generation) }

// size is i_size. The upper half once held something else for directories.
func (in *inode) size(v *volume) int64 {
	if in.mode().IsRegular() || v.hasIncompat(fiLargeDir) {
		return int64(uint64(in.SizeLo) | uint64(in.SizeHi)<<32)
	}
	return int64(in.SizeLo)
}

// xattrBlock is the number of the block with extended attributes, or 0.
func (in *inode) xattrBlock(v *volume) uint64 {
	if !v.hasIncompat(fi64Bit) {
		return uint64(in.FileACLLo)
	}
	return uint64(in.FileACLLo) | uint64(in.FileACLHi)<<32
}

// sectors is i_blocks in units of 512 bytes.
func (in *inode) sectors(v *volume) int64 {
	if !v.hasROCompat(frHugeFile) {
		return int64(in.BlocksLo)
	}
	n := int64(in.BlocksLo) | int64(in.BlocksHi)<<32
	if in.has(flHugeFile) {
		n <<= v.blockBits - 9
	}
	return n
}

// timestamp joins the seconds, a signed number, with the extra word: two bits
// that extend it beyond 2038, and nanoseconds.
func timestamp(sec, extra uint32) time.Time {
	return time.Unix(int64(int32(sec))+int64(extra&3)<<32, int64(extra>>2)).UTC()
}

// device decodes i_block of a device node: the old form of 8 and 8 bits, or the
// new one of 12 and 20 in the second word.
func (in *inode) device() (major, minor uint32) {
	if old := le.Uint32(in.Block[:]); old != 0 {
		return old >> 8 & 0xFF, old & 0xFF
	}
	dev := le.Uint32(in.Block[4:])
	return dev >> 8 & 0xFFF, dev&0xFF | dev>>12&0xFFF00
}

func (v *volume) attr(in *inode) filesys.Attr {
	a := filesys.Attr{
		Node:   filesys.Node(in.num),
		Mode:   in.mode(),
		UID:    in.uid(),
		GID:    in.gid(),
		Nlink:  uint32(in.Links),
		Size:   in.size(v),
		Blocks: in.sectors(v),
		Atime:  timestamp(in.Atime, in.AtimeExtra),
		Mtime:  timestamp(in.Mtime, in.MtimeExtra),
		Ctime:  timestamp(in.Ctime, in.CtimeExtra),
		Flags:  attrFlags(in.Flags),
	}
	if in.has(flInlineData) && in.mode().IsRegular() {
		a.Blocks += ondisk.DivUp(a.Size, 512) // as stat(2) tells it, lest the file look like a hole
	}
	if in.mode().IsDevice() {
		a.Major, a.Minor = in.device()
	}
	if in.Crtime != 0 || in.CrtimeExtra != 0 {
		a.Btime = timestamp(in.Crtime, in.CrtimeExtra)
	}
	return a
}

func attrFlags(f uint32) filesys.Flags {
	var out filesys.Flags
	for _, x := range []struct {
		disk uint32
		flag filesys.Flags
	}{
		{flImmutable, filesys.Immutable}, {flAppend, filesys.AppendOnly}, {flNoDump, filesys.NoDump},
		{flEncrypt, filesys.Encrypted}, {flVerity, filesys.Verity}, {flCompressed, filesys.Compressed},
	} {
		if f&x.disk != 0 {
			out |= x.flag
		}
	}
	return out
}
