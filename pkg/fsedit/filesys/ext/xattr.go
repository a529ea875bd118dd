package ext

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// xattr is one extended attribute as stored: index stands for a prefix of the
// name, and POSIX ACLs are in the form of the disk.
type xattr struct {
	index uint8
	name  string // without the prefix
	inum  uint32 // EA inode that holds the value, or 0
	hash  uint32
	value []byte
}

// xattrPrefix is what each index stands for. Those of ACLs are whole names.
var xattrPrefix = map[uint8]string{
	xaUser:       "user.",
	xaACLAccess:  "system.posix_acl_access",
	xaACLDefault: "system.posix_acl_default",
	xaTrusted:    "trusted.",
	xaSecurity:   "security.",
	xaSystem:     "system.",
	xaRichACL:    "system.richacl",
	xaHurd:       "gnu.",
}

// maxXattrValue is XATTR_SIZE_MAX of Linux.
const maxXattrValue = 64 << 10

func (t *tree) Xattrs(n filesys.Node) (map[string][]byte, error) {
	in, err := t.v.node(n)
	if err != nil {
		return nil, err
	}
	xs, err := t.v.xattrs(in)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(xs))
	for _, x := range xs {
		prefix, ok := xattrPrefix[x.index]
		if !ok || x.index == xaSystem && x.name == "data" {
			continue // nothing that Linux shows
		}
		value := x.value
		if x.index == xaACLAccess || x.index == xaACLDefault {
			if value, err = aclToSyscall(value); err != nil {
				return nil, in.at().In("inode %d: %s", in.num, prefix).Wrap(err)
			}
		}
		out[prefix+x.name] = value
	}
	return out, nil
}

// xattrs are those in the inode, then those in its block; values that an EA
// inode holds are read.
func (v *volume) xattrs(in *inode) ([]xattr, error) {
	xs, err := v.inodeXattrs(in)
	if err != nil {
		return nil, err
	}
	more, err := v.blockXattrs(in)
	if err != nil {
		return nil, err
	}
	xs = append(xs, more...)
	for i := range xs {
		if xs[i].inum == 0 {
			continue
		}
		if xs[i].value, err = v.eaValue(in, xs[i]); err != nil {
			return nil, err
		}
	}
	return xs, nil
}

// inodeXattrArea is the part of an inode behind its fields; nil without one.
func (v *volume) inodeXattrArea(in *inode) []byte {
	start := oldInodeSize + int(in.ExtraIsize)
	if v.inodeSize == oldInodeSize || in.ExtraIsize == 0 || start+4 > len(in.raw) {
		return nil
	}
	if le.Uint32(in.raw[start:]) != xattrMagic {
		return nil
	}
	return in.raw[start+4:]
}

// inodeXattrs are the attributes in the inode; the values of EA inodes are not read.
func (v *volume) inodeXattrs(in *inode) ([]xattr, error) {
	area := v.inodeXattrArea(in)
	if area == nil {
		return nil, nil
	}
	return parseXattrs(area, 0, in.at())
}

// blockXattrs are the attributes in the xattr block; values of EA inodes are
// not read.
func (v *volume) blockXattrs(in *inode) ([]xattr, error) {
	nr := in.xattrBlock(v)
	if nr == 0 {
		return nil, nil
	}
	if !v.inVolume(nr, 1) {
		return nil, in.at().Corrupt("xattr block %d is outside the filesystem", nr)
	}
	block, err := v.xattrBlock(nr)
	if err != nil {
		return nil, err
	}
	return parseXattrs(block, xattrHeaderSize, ondisk.At(layer, "xattr block", v.byteOff(nr)))
}

// xattrBlock reads and verifies the xattr block at nr.
func (v *volume) xattrBlock(nr uint64) ([]byte, error) {
	block, err := v.readBlock(nr)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "xattr block", v.byteOff(nr))
	h := decodeXattrHeader(block)
	if h.Magic != xattrMagic || h.Blocks != 1 {
		return nil, at.Corrupt("magic %#08x, %d blocks", h.Magic, h.Blocks)
	}
	if v.checksums() {
		if sum := xattrBlockSum(v.seed, nr, block); sum != h.Checksum {
			return nil, at.Corrupt("checksum %#08x, computed %#08x", h.Checksum, sum)
		}
	}
	return block, nil
}

func decodeXattrHeader(p []byte) xattrHeader {
	return xattrHeader{
		Magic:    le.Uint32(p[0x00:]),
		RefCount: le.Uint32(p[0x04:]),
		Blocks:   le.Uint32(p[0x08:]),
		Hash:     le.Uint32(p[0x0C:]),
		Checksum: le.Uint32(p[0x10:]),
	}
}

func decodeXattrEntry(p []byte) xattrEntry {
	return xattrEntry{
		NameLen:   p[0x0],
		NameIndex: p[0x1],
		ValueOffs: le.Uint16(p[0x2:]),
		ValueInum: le.Uint32(p[0x4:]),
		ValueSize: le.Uint32(p[0x8:]),
		Hash:      le.Uint32(p[0xC:]),
	}
}

// parseXattrs decodes the entries that start at byte first of area; offsets of
// values count from the start of area. Four zero bytes end the list, as does
// the end of area.
func parseXattrs(area []byte, first int, at ondisk.Place) ([]xattr, error) {
	var out []xattr
	for pos := first; pos+4 <= len(area) && le.Uint32(area[pos:]) != 0; {
		if pos+xattrEntrySize > len(area) {
			return nil, at.Corrupt("xattr entry at %#x: cut off", pos)
		}
		e := decodeXattrEntry(area[pos:])
		name := pos + xattrEntrySize
		pos = name + (int(e.NameLen)+3)&^3
		if pos > len(area) {
			return nil, at.Corrupt("xattr name of %d bytes at %#x: cut off", e.NameLen, name)
		}
		x := xattr{index: e.NameIndex, name: string(area[name : name+int(e.NameLen)]), inum: e.ValueInum, hash: e.Hash}
		value, err := valueOf(area, e, at)
		if err != nil {
			return nil, err
		}
		x.value = value
		out = append(out, x)
	}
	return out, nil
}

// valueOf copies the value of an entry; for one in an EA inode it is a slice of
// the right length only.
func valueOf(area []byte, e xattrEntry, at ondisk.Place) ([]byte, error) {
	if e.ValueInum != 0 {
		if e.ValueSize > maxXattrValue {
			return nil, at.Corrupt("xattr value of %d bytes", e.ValueSize)
		}
		return make([]byte, e.ValueSize), nil
	}
	if e.ValueSize == 0 {
		return []byte{}, nil
	}
	if !ondisk.InRange(int64(e.ValueOffs), int64(e.ValueSize), int64(len(area))) {
		return nil, at.Corrupt("xattr value at %#x+%#x: cut off", e.ValueOffs, e.ValueSize)
	}
	return append([]byte(nil), area[e.ValueOffs:][:e.ValueSize]...), nil
}

// eaValue reads the value of x, which has the right length, from its EA inode.
func (v *volume) eaValue(owner *inode, x xattr) ([]byte, error) {
	ea, err := v.inode(x.inum)
	if err != nil {
		return nil, err
	}
	if !ea.has(flEAInode) || !ea.mode().IsRegular() || ea.size(v) != int64(len(x.value)) || ea.has(flInlineData) {
		return nil, owner.at().Corrupt("inode %d does not hold the value of xattr %q", x.inum, x.name)
	}
	if err := ondisk.Full(v.file(ea), x.value, 0); err != nil {
		return nil, ea.at().Wrap(err)
	}
	lustre := ea.Mtime == owner.num && ea.Generation == owner.Generation // keeps its owner there, and no hash
	if sum := eaValueSum(v.seed, x.value); sum != ea.Atime && !lustre {
		return nil, ea.at().Corrupt("hash of an xattr value %#08x, computed %#08x", ea.Atime, sum)
	}
	return x.value, nil
}
