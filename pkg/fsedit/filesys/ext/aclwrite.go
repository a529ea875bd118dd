package ext

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// aclEntry is one entry of a POSIX ACL.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// decodeACL reads the form of the disk.
func decodeACL(p []byte) ([]aclEntry, error) {
	c := ondisk.NewCursor(p, le)
	if version := c.U32(); version != aclVersionDisk || c.Err() != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "ACL of version %d", version)
	}
	var out []aclEntry
	for c.Len() > 0 {
		x := aclEntry{tag: c.U16(), perm: c.U16(), id: aclNoID}
		if aclHasID(x.tag) {
			x.id = c.U32()
		}
		out = append(out, x)
	}
	return out, c.Err()
}

func encodeACL(xs []aclEntry) []byte {
	p := le.AppendUint32(nil, aclVersionDisk)
	for _, x := range xs {
		p = le.AppendUint16(p, x.tag)
		p = le.AppendUint16(p, x.perm)
		if aclHasID(x.tag) {
			p = le.AppendUint32(p, x.id)
		}
	}
	return p
}

// validACL reports whether entries come in the order that the kernel demands,
// each kind as often as it may; see acl(5).
func validACL(xs []aclEntry) bool {
	counts := map[uint16]int{}
	last := uint16(0)
	for _, x := range xs {
		if x.tag < last || x.perm > 7 {
			return false
		}
		last = x.tag
		counts[x.tag]++
	}
	named := counts[aclUser] + counts[aclGroup]
	total := named + 3 + counts[aclMask]
	return counts[aclUserObj] == 1 && counts[aclGroupObj] == 1 && counts[aclOther] == 1 &&
		counts[aclMask] <= 1 && (named == 0 || counts[aclMask] == 1) && total == len(xs)
}

// aclMode is the permission bits that an access ACL stands for, and whether
// they say all that it does.
func aclMode(xs []aclEntry) (m filesys.Mode, plain bool) {
	plain = true
	mask := -1
	for _, x := range xs {
		switch x.tag {
		case aclUserObj:
			m |= filesys.Mode(x.perm) << 6
		case aclGroupObj:
			m |= filesys.Mode(x.perm) << 3
		case aclOther:
			m |= filesys.Mode(x.perm)
		case aclMask:
			mask, plain = int(x.perm), false
		default:
			plain = false
		}
	}
	if mask >= 0 {
		m = m&^0o070 | filesys.Mode(mask)<<3
	}
	return m, plain
}

// chmodACL makes an access ACL follow the permission bits: the mask entry, if
// there is one, stands for those of the group.
func chmodACL(xs []aclEntry, m filesys.Mode) {
	group := -1
	for i := range xs {
		switch x := &xs[i]; x.tag {
		case aclUserObj:
			x.perm = uint16(m >> 6 & 7)
		case aclGroupObj:
			if group < 0 {
				group = i
			}
		case aclMask:
			group = i
		case aclOther:
			x.perm = uint16(m & 7)
		}
	}
	if group >= 0 {
		xs[group].perm = uint16(m >> 3 & 7)
	}
}

// setACL stores an ACL that comes in the form of setxattr(2). One without
// entries is none, and so is an access ACL that the mode can express.
func (a *attributes) setACL(index uint8, value []byte) error {
	switch {
	case a.in.mode().IsSymlink():
		return a.in.at().Unsupported("an ACL of a symbolic link")
	case index == xaACLDefault && !a.in.mode().IsDir():
		return filesys.ErrNotDir
	}
	disk, err := aclToDisk(value)
	if err != nil {
		return a.in.at().Wrap(err)
	}
	xs, err := decodeACL(disk)
	if err != nil {
		return a.in.at().Wrap(err)
	}
	if len(xs) == 0 {
		return a.remove(index, "")
	}
	if !validACL(xs) {
		return filesys.ErrInvalid
	}
	if index == xaACLAccess {
		m, plain := aclMode(xs)
		a.in.setPerm(a.in.mode().Perm()&^0o777 | m)
		if plain {
			return a.remove(index, "")
		}
	}
	return a.set(index, "", encodeACL(xs))
}

// chmod sets the permission bits, in the access ACL too.
func (e *editor) chmod(in *inode, m filesys.Mode) error {
	in.setPerm(m)
	a, err := e.attributes(in)
	if err != nil {
		return err
	}
	x, ok := a.get(xaACLAccess, "")
	if !ok {
		return nil
	}
	xs, err := decodeACL(x.value)
	if err != nil {
		return in.at().Wrap(err)
	}
	chmodACL(xs, m)
	if err := a.set(xaACLAccess, "", encodeACL(xs)); err != nil {
		return err
	}
	return a.store()
}
