package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// POSIX ACLs are attributes with names of their own and entries of 12 bytes:
// tag, id, permissions. In getxattr(2) they are little-endian and of 8 bytes. See
// acl(5) and linux/posix_acl_xattr.h.

var aclNames = map[string]string{
	"trusted.SGI_ACL_FILE":    "system.posix_acl_access",
	"trusted.SGI_ACL_DEFAULT": "system.posix_acl_default",
}

const (
	aclVersionSyscall = 2

	aclUser  = 0x02
	aclGroup = 0x08

	aclNoID = 1<<32 - 1
)

// aclToSyscall turns the form of the disk into that of getxattr(2).
func aclToSyscall(p []byte) ([]byte, error) {
	c := ondisk.NewCursor(p, be)
	count := c.U32()
	if int64(count)*12 > int64(c.Len()) {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "an ACL of %d entries in %d bytes", count, len(p))
	}
	out := le.AppendUint32(nil, aclVersionSyscall)
	for range count {
		tag, id, perm := c.U32(), c.U32(), c.U16()
		c.Skip(2)
		if tag != aclUser && tag != aclGroup {
			id = aclNoID
		}
		out = le.AppendUint16(out, uint16(tag))
		out = le.AppendUint16(out, perm)
		out = le.AppendUint32(out, id)
	}
	return out, c.Err()
}
