package xfs

import (
	"slices"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// An inode is patched in its own bytes; the decoded fields follow each patch.

// Offsets in the core that are patched.
const (
	inMode        = 2
	inVersion     = 4
	inFormat      = 5
	inOnLink      = 6
	inUID         = 8
	inGID         = 12
	inNLink       = 16
	inProjIDLo    = 20
	inProjIDHi    = 22
	inBigNExtents = 24
	inAtime       = 32
	inMtime       = 40
	inCtime       = 48
	inSize        = 56
	inNBlocks     = 64
	inExtSize     = 72
	inNExtents    = 76
	inANExtents   = 80
	inForkOff     = 82
	inAFormat     = 83
	inFlags       = 90
	inGen         = 92
	inChangeCount = 104
	inFlags2      = 120
	inCowExtSize  = 128
	inCrTime      = 144
)

const maxLinks = 1<<31 - 1

func (in *inode) put8(off int, v uint8)   { in.raw[off] = v; in.decoded() }
func (in *inode) put16(off int, v uint16) { be.PutUint16(in.raw[off:], v); in.decoded() }
func (in *inode) put32(off int, v uint32) { be.PutUint32(in.raw[off:], v); in.decoded() }
func (in *inode) put64(off int, v uint64) { be.PutUint64(in.raw[off:], v); in.decoded() }
func (in *inode) decoded()                { in.inodeCore = decodeInode(in.raw) }

func (in *inode) setSize(n int64) { in.put64(inSize, uint64(n)) }

func (in *inode) setPerm(m filesys.Mode) {
	in.put16(inMode, in.Mode&^uint16(filesys.PermMask)|uint16(m.Perm()))
}

func (in *inode) setOwner(uid, gid uint32) {
	in.put32(inUID, uid)
	in.put32(inGID, gid)
}

// setLinks counts names. An inode of version 1 becomes one of version 2, as the
// kernel has it.
func (in *inode) setLinks(n uint32) {
	if in.Version == 1 {
		in.put8(inVersion, 2)
		in.put16(inOnLink, 0)
		in.put32(inProjIDLo, 0)
	}
	in.put32(inNLink, n)
}

// setExtents counts the extents of a fork.
func (in *inode) setExtents(attr bool, n int) {
	switch wide := in.has2(di2NRExt64); {
	case attr && wide:
		in.put32(inNExtents, uint32(n))
	case attr:
		in.put16(inANExtents, uint16(n))
	case wide:
		in.put64(inBigNExtents, uint64(n))
	default:
		in.put32(inNExtents, uint32(n))
	}
}

// mostExtents is what the counter of a fork can hold.
func (in *inode) mostExtents(attr bool) int {
	switch wide := in.has2(di2NRExt64); {
	case attr && wide:
		return 1<<32 - 1
	case attr:
		return 1<<15 - 1
	case wide:
		return 1<<48 - 1
	}
	return 1<<31 - 1
}

// encodeTime is the other way of timestamp. What cannot be stored becomes the
// nearest time that can.
func (in *inode) encodeTime(t time.Time) uint64 {
	sec, ns := t.Unix(), uint64(t.Nanosecond())
	if in.has2(di2Bigtime) {
		const last = (1<<64 - 1) / 1000000000 &^ 3
		sec = max(sec, -1<<31) + 1<<31
		return min(uint64(sec), last)*1e9 + ns
	}
	sec = min(max(sec, -1<<31), 1<<31-1)
	return uint64(uint32(sec))<<32 | ns
}

func (in *inode) setTime(off int, t time.Time) { in.put64(off, in.encodeTime(t)) }

// private is an inode whose bytes can be changed.
func (e *editor) private(num uint64) (*inode, error) {
	in, err := e.v.inode(num)
	if err != nil {
		return nil, err
	}
	in.raw = slices.Clone(in.raw)
	return in, nil
}

// putInode seals an inode and stages it.
func (e *editor) putInode(in *inode) error {
	if e.v.v5() {
		inodeStamp.seal(in.raw)
	}
	e.touched[in.num] = struct{}{}
	return e.stage.Patch(in.off, in.raw)
}

// changed stamps and stages an inode whose attributes changed.
func (e *editor) changed(in *inode) error {
	in.setTime(inCtime, e.now)
	if in.Version >= 3 {
		in.put64(inChangeCount, in.ChangeCount+1)
	}
	return e.putInode(in)
}

// modified is changed for an inode whose content did.
func (e *editor) modified(in *inode) error {
	in.setTime(inMtime, e.now)
	return e.changed(in)
}

// Flags that a new object takes over from its directory; see ioctl_xfs_fsgetxattr(2).
const (
	diSync           = 0x20
	diNoAtime        = 0x40
	diProjInherit    = 0x200
	diExtSize        = 0x800
	diExtSizeInherit = 0x1000
	diNoDefrag       = 0x2000

	di2DAX     = 0x1
	di2Reflink = 0x2
)

// newInode takes an inode and fills it; it is not staged yet.
func (e *editor) newInode(dir *inode, a filesys.NewAttr) (*inode, error) {
	v := e.v
	num, err := e.space.newInode(dir.num)
	if err != nil {
		return nil, err
	}
	off := v.byteOff(num>>v.inopBits) + int64(num&(1<<v.inopBits-1))<<v.inodeBits
	in := &inode{num: num, off: off, raw: make([]byte, v.inodeSize), core: inodeCore2}
	v.freshInode(in.raw, num, e.rand())
	if v.v5() {
		in.core = inodeCore3
	}
	flags2 := uint64(0)
	if v.has(incompat, fiBigtime) {
		flags2 |= di2Bigtime
	}
	if v.has(incompat, fiNRExt64) {
		flags2 |= di2NRExt64
	}
	if v.v5() {
		in.put64(inFlags2, flags2|dir.Flags2&di2DAX)
	}
	in.decoded()
	in.put16(inMode, uint16(a.Mode))
	in.put8(inFormat, formatExtent)
	in.put8(inAFormat, formatExtent)
	in.setOwner(a.UID, a.GID)
	in.inherit(dir)
	in.setLinks(1)
	mtime := a.Mtime
	if mtime.IsZero() {
		mtime = e.now
	}
	in.setTime(inAtime, mtime)
	in.setTime(inMtime, mtime)
	in.setTime(inCtime, e.now)
	if v.v5() {
		in.setTime(inCrTime, e.now)
		in.put64(inChangeCount, 1)
	}
	return in, nil
}

// inherit takes over flags and what they stand for.
func (in *inode) inherit(dir *inode) {
	const always = diSync | diNoAtime | diNoDump | diNoDefrag
	flags := dir.Flags & always
	if dir.has(diProjInherit) {
		in.put16(inProjIDLo, dir.ProjIDLo)
		in.put16(inProjIDHi, dir.ProjIDHi)
	}
	switch m := in.mode(); {
	case m.IsDir():
		flags |= dir.Flags & (diProjInherit | diExtSizeInherit)
		if dir.has(diExtSizeInherit) {
			in.put32(inExtSize, dir.ExtSize)
		}
	case m.IsRegular():
		if dir.has(diExtSizeInherit) {
			flags |= diExtSize
			in.put32(inExtSize, dir.ExtSize)
		}
	default:
		flags = 0
	}
	in.put16(inFlags, flags)
}
