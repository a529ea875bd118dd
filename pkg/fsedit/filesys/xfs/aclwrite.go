package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// aclStored are the names under which ACLs are stored, as trusted attributes.
var aclStored = map[string]string{
	"system.posix_acl_access":  aclAccess,
	"system.posix_acl_default": aclDefault,
}

const (
	aclAccess  = "SGI_ACL_FILE"
	aclDefault = "SGI_ACL_DEFAULT"

	aclUserObj  = 0x01
	aclGroupObj = 0x04
	aclMask     = 0x10
	aclOther    = 0x20

	aclMost4 = 25 // entries in version 4
)

// aclEntry is one entry of a POSIX ACL.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// decodeACL reads the form of setxattr(2).
func decodeACL(p []byte) ([]aclEntry, error) {
	c := ondisk.NewCursor(p, le)
	if version := c.U32(); version != aclVersionSyscall || c.Err() != nil {
		return nil, filesys.ErrInvalid
	}
	var out []aclEntry
	for c.Len() > 0 {
		out = append(out, aclEntry{c.U16(), c.U16(), c.U32()})
	}
	if c.Err() != nil {
		return nil, filesys.ErrInvalid
	}
	return out, nil
}

// encodeACL makes the form of the disk.
func encodeACL(list []aclEntry) []byte {
	p := be.AppendUint32(nil, uint32(len(list)))
	for _, x := range list {
		id := x.id
		if x.tag != aclUser && x.tag != aclGroup {
			id = aclNoID // as the kernel has it
		}
		p = be.AppendUint32(p, uint32(x.tag))
		p = be.AppendUint32(p, id)
		p = be.AppendUint16(p, x.perm)
		p = be.AppendUint16(p, 0)
	}
	return p
}

// validACL reports whether entries come in the order that the kernel demands, each
// kind as often as it may; see acl(5).
func validACL(list []aclEntry) bool {
	counts := map[uint16]int{}
	last := uint16(0)
	for _, x := range list {
		if x.tag < last || x.perm > 7 {
			return false
		}
		last = x.tag
		counts[x.tag]++
	}
	named := counts[aclUser] + counts[aclGroup]
	return counts[aclUserObj] == 1 && counts[aclGroupObj] == 1 && counts[aclOther] == 1 && counts[aclMask] <= 1 &&
		(named == 0 || counts[aclMask] == 1) && named+3+counts[aclMask] == len(list)
}

// aclMode is the permission bits that an access ACL stands for, and whether they
// say all that it does.
func aclMode(list []aclEntry) (m filesys.Mode, plain bool) {
	plain = true
	mask := -1
	for _, x := range list {
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

// chmodACL makes an access ACL follow the permission bits: the mask entry, if there
// is one, stands for those of the group.
func chmodACL(list []aclEntry, m filesys.Mode) {
	group := -1
	for i := range list {
		switch x := &list[i]; x.tag {
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
		list[group].perm = uint16(m >> 3 & 7)
	}
}

// setACL stores an ACL that comes in the form of setxattr(2). One without entries is
// none, and so is an access ACL that the mode can express.
func (a *attrSet) setACL(name string, value []byte) error {
	switch {
	case a.in.mode().IsSymlink():
		return a.in.at().Unsupported("an ACL of a symbolic link")
	case name == aclDefault && !a.in.mode().IsDir():
		return filesys.ErrNotDir
	}
	list, err := decodeACL(value)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		a.remove(attrRoot, name)
		return nil
	}
	if !validACL(list) {
		return filesys.ErrInvalid
	}
	if !a.e.v.v5() && len(list) > aclMost4 {
		return a.in.at().NoSpace("an ACL of %d entries", len(list))
	}
	if name == aclAccess {
		m, plain := aclMode(list)
		a.in.setPerm(a.in.mode().Perm()&^0o777 | m)
		if plain {
			a.remove(attrRoot, name)
			return nil
		}
	}
	return a.set(attrRoot, name, encodeACL(list))
}

// chmod sets the permission bits, in the access ACL too.
func (e *editor) chmod(in *inode, m filesys.Mode) error {
	in.setPerm(m)
	a, err := e.attributes(in)
	if err != nil {
		return err
	}
	i := a.index(attrRoot, aclAccess)
	if i < 0 {
		return nil
	}
	p, err := aclToSyscall(a.list[i].value)
	if err != nil {
		return in.at().Wrap(err)
	}
	list, err := decodeACL(p)
	if err != nil {
		return in.at().Wrap(err)
	}
	chmodACL(list, m)
	a.list[i].value = encodeACL(list)
	return a.store()
}
