package xfs

import (
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// inode is one inode: its bytes, which alias a cached block, and their meaning.
type inode struct {
	num uint64
	off int64 // on the device
	raw []byte
	inodeCore
	core int // bytes before the data fork
}

func decodeInode(p []byte) inodeCore {
	n := inodeCore{
		Magic:        be.Uint16(p[0:]),
		Mode:         be.Uint16(p[2:]),
		Version:      p[4],
		Format:       p[5],
		OnLink:       be.Uint16(p[6:]),
		UID:          be.Uint32(p[8:]),
		GID:          be.Uint32(p[12:]),
		NLink:        be.Uint32(p[16:]),
		ProjIDLo:     be.Uint16(p[20:]),
		ProjIDHi:     be.Uint16(p[22:]),
		BigNExtents:  be.Uint64(p[24:]),
		Atime:        be.Uint64(p[32:]),
		Mtime:        be.Uint64(p[40:]),
		Ctime:        be.Uint64(p[48:]),
		Size:         be.Uint64(p[56:]),
		NBlocks:      be.Uint64(p[64:]),
		ExtSize:      be.Uint32(p[72:]),
		NExtents:     be.Uint32(p[76:]),
		ANExtents:    be.Uint16(p[80:]),
		ForkOff:      p[82],
		AFormat:      p[83],
		DMEvMask:     be.Uint32(p[84:]),
		DMState:      be.Uint16(p[88:]),
		Flags:        be.Uint16(p[90:]),
		Gen:          be.Uint32(p[92:]),
		NextUnlinked: be.Uint32(p[96:]),
	}
	if n.Version >= 3 {
		decodeInode3(&n, p)
	}
	return n
}

// decodeInode3 reads what only version 3 has; before it these are the forks.
func decodeInode3(n *inodeCore, p []byte) {
	n.CRC = be.Uint32(p[100:])
	n.ChangeCount = be.Uint64(p[104:])
	n.LSN = be.Uint64(p[112:])
	n.Flags2 = be.Uint64(p[120:])
	n.CowExtSize = be.Uint32(p[128:])
	n.CrTime = be.Uint64(p[144:])
	n.Ino = be.Uint64(p[152:])
	n.UUID = [16]byte(p[160:])
}

// inodeOK reports whether an inode number can exist.
func (g *geometry) inodeOK(num uint64) bool { return num != 0 && g.extentOK(num>>g.inopBits, 1) }

// inode reads and verifies inode num, which must be in use.
func (v *volume) inode(num uint64) (*inode, error) {
	if !v.inodeOK(num) {
		return nil, ondisk.At(layer, "inode", ondisk.NoOffset).Corrupt("number %d does not exist", num)
	}
	block, err := v.readNear(num >> v.inopBits)
	if err != nil {
		return nil, err
	}
	slot := int(num&(1<<v.inopBits-1)) << v.inodeBits
	in := &inode{num: num, off: v.byteOff(num>>v.inopBits) + int64(slot), raw: block[slot:][:v.inodeSize:v.inodeSize]}
	in.inodeCore = decodeInode(in.raw)
	return in, v.verifyInode(in)
}

func (v *volume) verifyInode(in *inode) error {
	at := in.at()
	if in.Magic != inodeMagic {
		return at.Corrupt("magic %#04x", in.Magic)
	}
	if v.v5() {
		if in.Version != 3 {
			return at.In("version").Corrupt("%d", in.Version)
		}
		if err := inodeStamp.verify(in.raw, v.uuid, in.off, in.num, at); err != nil {
			return err
		}
		in.core = inodeCore3
	} else {
		if in.Version != 1 && in.Version != 2 {
			return at.In("version").Corrupt("%d", in.Version)
		}
		in.core = inodeCore2
	}
	switch {
	case in.Mode == 0:
		return at.Corrupt("it is not in use")
	case int64(in.Size) < 0:
		return at.In("size").Corrupt("%d", in.Size)
	case int(in.ForkOff)*8 > v.inodeSize-in.core:
		return at.In("fork offset").Corrupt("%d", in.ForkOff)
	}
	return nil
}

func (in *inode) at() ondisk.Place {
	return ondisk.At(layer, "inode", in.off).In("inode %d", in.num)
}

func (in *inode) mode() filesys.Mode   { return filesys.Mode(in.Mode) }
func (in *inode) has(flag uint16) bool { return in.Flags&flag != 0 }
func (in *inode) has2(f uint64) bool   { return in.Flags2&f != 0 }

// timestamp decodes a time: seconds and nanoseconds, or with bigtime
// nanoseconds since the smallest time that the other form can hold.
func (in *inode) timestamp(raw uint64) time.Time {
	if in.has2(di2Bigtime) {
		return time.Unix(int64(raw/1e9)-1<<31, int64(raw%1e9)).UTC()
	}
	return time.Unix(int64(int32(raw>>32)), int64(int32(raw))).UTC()
}

// device decodes the data fork of a device node: 14 bits of major number and
// 18 of minor.
func (in *inode) device() (major, minor uint32) {
	dev := be.Uint32(in.raw[in.core:])
	return dev >> 18, dev & (1<<18 - 1)
}

func (in *inode) links() uint32 {
	if in.Version == 1 {
		return uint32(in.OnLink)
	}
	return in.NLink
}

func (v *volume) attr(in *inode) filesys.Attr {
	a := filesys.Attr{
		Node:   filesys.Node(in.num),
		Mode:   in.mode(),
		UID:    in.UID,
		GID:    in.GID,
		Nlink:  in.links(),
		Size:   int64(in.Size),
		Blocks: int64(min(in.NBlocks, v.blockCount)) << (v.blockBits - daddrBits),
		Atime:  in.timestamp(in.Atime),
		Mtime:  in.timestamp(in.Mtime),
		Ctime:  in.timestamp(in.Ctime),
	}
	if in.mode().IsDevice() && in.Format == formatDev {
		a.Major, a.Minor = in.device()
	}
	if in.Version >= 3 {
		a.Btime = in.timestamp(in.CrTime)
	}
	for flag, means := range map[uint16]filesys.Flags{
		diImmutable: filesys.Immutable, diAppend: filesys.AppendOnly, diNoDump: filesys.NoDump,
	} {
		if in.has(flag) {
			a.Flags |= means
		}
	}
	return a
}
