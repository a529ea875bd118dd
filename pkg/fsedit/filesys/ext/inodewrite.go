package ext

import (
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// An inode is patched in its own bytes; the decoded fields follow each patch.

func (in *inode) put16(off int, v uint16) {
	le.PutUint16(in.raw[off:], v)
	in.diskInode = decodeInode(in.raw)
}

func (in *inode) put32(off int, v uint32) {
	le.PutUint32(in.raw[off:], v)
	in.diskInode = decodeInode(in.raw)
}

// hasField reports whether the 32-bit field at off exists in this inode.
func (in *inode) hasField(off int) bool {
	return len(in.raw) > oldInodeSize && off+4 <= oldInodeSize+int(in.ExtraIsize)
}

func (in *inode) setFlags(on, off uint32) { in.put32(inFlags, in.Flags&^off|on) }

func (in *inode) setSize(n int64) {
	in.put32(inSizeLo, uint32(n))
	in.put32(inSizeHi, uint32(n>>32))
}

// setDirSize leaves the upper half alone, which was an ACL block once.
func (in *inode) setDirSize(v *volume, n int64) {
	if v.hasIncompat(fiLargeDir) {
		in.setSize(n)
		return
	}
	in.put32(inSizeLo, uint32(n))
}

func (in *inode) setLinks(n uint16) { in.put16(inLinks, n) }
func (in *inode) setBlock(p []byte) { clear(in.raw[inBlock:][:inodeBlockLen]); in.patchBlock(p) }
func (in *inode) setPerm(m filesys.Mode) {
	in.put16(inMode, in.Mode&^uint16(filesys.PermMask)|uint16(m.Perm()))
}

func (in *inode) patchBlock(p []byte) {
	copy(in.raw[inBlock:][:inodeBlockLen], p)
	in.diskInode = decodeInode(in.raw)
}

func (in *inode) setOwner(uid, gid uint32) {
	in.put16(inUIDLo, uint16(uid))
	in.put16(inUIDHi, uint16(uid>>16))
	in.put16(inGIDLo, uint16(gid))
	in.put16(inGIDHi, uint16(gid>>16))
}

func (in *inode) setXattrBlock(nr uint64) {
	in.put32(inFileACLLo, uint32(nr))
	in.put16(inFileACLHi, uint16(nr>>32))
}

// addBlocks changes i_blocks, which counts units of 512 bytes or, in huge
// files, of blocks.
func (in *inode) addBlocks(v *volume, delta int64) error {
	unit := int64(1) << (v.blockBits - 9)
	if in.has(flHugeFile) {
		unit = 1
	}
	n := int64(in.BlocksLo)
	if v.hasROCompat(frHugeFile) {
		n |= int64(in.BlocksHi) << 32
	}
	n += delta * unit
	switch {
	case n < 0:
		return in.at().In("blocks").Corrupt("fewer than the file has")
	case n >= 1<<32 && !v.hasROCompat(frHugeFile), n >= 1<<48:
		return in.at().Unsupported("a file of %d blocks needs the feature huge_file", n/unit)
	}
	in.put32(inBlocksLo, uint32(n))
	if v.hasROCompat(frHugeFile) {
		in.put16(inBlocksHi, uint16(n>>32))
	}
	return nil
}

// Times that an inode keeps: the seconds and, where it has room, two bits that
// extend them and the nanoseconds.
func (in *inode) setTime(sec, extra int, t time.Time) {
	s := t.Unix()
	if !in.hasField(extra) {
		in.put32(sec, uint32(int32(min(max(s, -1<<31), 1<<31-1))))
		return
	}
	s = min(max(s, -1<<31), 1<<34-1<<31-1)
	in.put32(sec, uint32(s))
	in.put32(extra, uint32((s-int64(int32(s)))>>32)&3|uint32(t.Nanosecond())<<2)
}

func (in *inode) setAtime(t time.Time) { in.setTime(inAtime, inAtimeExtra, t) }
func (in *inode) setMtime(t time.Time) { in.setTime(inMtime, inMtimeExtra, t) }
func (in *inode) setCtime(t time.Time) { in.setTime(inCtime, inCtimeExtra, t) }

// setCrtime stores when the inode was made, if it has room for that.
func (in *inode) setCrtime(t time.Time) {
	if in.hasField(inCrtime) {
		in.setTime(inCrtime, inCrtimeExtra, t)
	}
}

// bumpVersion counts a change, as NFS servers want it.
func (in *inode) bumpVersion() {
	in.put32(inVersionLo, in.VersionLo+1)
	if in.VersionLo == 0 && in.hasField(inVersionHi) {
		in.put32(inVersionHi, in.VersionHi+1)
	}
}

// encodeDevice is i_block of a device node: the old form where it fits.
func encodeDevice(major, minor uint32) []byte {
	var p [8]byte
	if major < 256 && minor < 256 {
		le.PutUint32(p[0:], major<<8|minor)
	} else {
		le.PutUint32(p[4:], minor&0xFF|major<<8|minor&^0xFF<<12)
	}
	return p[:]
}

// putInode seals an inode and stages it.
func (e *editor) putInode(in *inode) error {
	if e.v.checksums() {
		sealInode(e.v.seed, in.num, in.raw)
		in.diskInode = decodeInode(in.raw)
	}
	nr := uint64(in.off) >> e.v.blockBits
	block, err := e.block(nr)
	if err != nil {
		return err
	}
	copy(block[in.off&(e.v.blockSize-1):], in.raw)
	e.stage.Put(nr, block)
	e.touched[in.num] = struct{}{}
	return nil
}

// changed stamps and stages an inode whose attributes changed.
func (e *editor) changed(in *inode) error {
	in.setCtime(e.now)
	in.bumpVersion()
	return e.putInode(in)
}

// modified is changed for an inode whose content did.
func (e *editor) modified(in *inode) error {
	in.setMtime(e.now)
	return e.changed(in)
}

// Flags that a new object takes over from its directory; see chattr(1).
const (
	flUndelete = 0x2
	flSync     = 0x8
	flNoTail   = 0x8000
	flDirSync  = 0x10000

	flInherited = flSecureDelete | flUndelete | flCompressed | flSync | flNoDump | flNoAtime |
		flJournalData | flNoTail | flDirSync | flProjInherit
	flOfDirsOnly = flDirSync | flProjInherit
	flOfOthers   = flNoDump | flNoAtime // what devices and links take over
)

// newInode allocates and fills an inode; it is not staged yet.
func (e *editor) newInode(dir *inode, a filesys.NewAttr) (*inode, error) {
	v := e.v
	num, err := e.allocInode((dir.num-1)/v.inodesPerGroup, a.Mode.IsDir())
	if err != nil {
		return nil, err
	}
	in, err := v.rawInode(num)
	if err != nil {
		return nil, err
	}
	clear(in.raw)
	if v.inodeSize > oldInodeSize {
		le.PutUint16(in.raw[inExtraIsize:], uint16(e.extraIsize()))
	}
	in.put16(inMode, uint16(a.Mode))
	in.put32(inGeneration, e.rand())
	in.setOwner(a.UID, a.GID)
	in.setFlags(inheritedFlags(dir.Flags, a.Mode), 0)
	if in.hasField(inProjID) && dir.has(flProjInherit) && v.hasROCompat(frProject) {
		in.put32(inProjID, dir.ProjID)
	}
	mtime := a.Mtime
	if mtime.IsZero() {
		mtime = e.now
	}
	in.setAtime(mtime)
	in.setMtime(mtime)
	in.setCtime(e.now)
	in.setCrtime(e.now)
	return in, nil
}

func inheritedFlags(parent uint32, m filesys.Mode) uint32 {
	flags := parent & flInherited
	switch {
	case m.IsDir():
		return flags
	case m.IsRegular():
		return flags &^ flOfDirsOnly
	}
	return flags & flOfOthers
}

// extraIsize is how much room new inodes keep for fields: what the superblock
// wants, and at least those that are known today.
func (e *editor) extraIsize() int {
	want := diskInodeSize - oldInodeSize
	if e.v.hasROCompat(frExtraIsize) {
		want = max(want, int(e.v.super().WantExtraIsize)&^3)
	}
	return min(want, e.v.inodeSize-oldInodeSize)
}
