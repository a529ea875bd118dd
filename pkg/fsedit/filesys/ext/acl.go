package ext

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// POSIX ACLs: on disk entries have an id only where it means something; in
// getxattr(2) all have 8 bytes. See acl(5) and linux/posix_acl_xattr.h.
const (
	aclVersionDisk    = 1
	aclVersionSyscall = 2

	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20

	aclNoID = ^uint32(0)
)

// aclHasID reports whether an entry names a user or group.
func aclHasID(tag uint16) bool { return tag == aclUser || tag == aclGroup }

// aclToSyscall turns the form of the disk into that of getxattr(2).
func aclToSyscall(p []byte) ([]byte, error) {
	c := ondisk.NewCursor(p, le)
	if version := c.U32(); version != aclVersionDisk || c.Err() != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "ACL of version %d, %d bytes", version, len(p))
	}
	out := le.AppendUint32(nil, aclVersionSyscall)
	for c.Len() > 0 {
		tag, perm, id := c.U16(), c.U16(), aclNoID
		if aclHasID(tag) {
			id = c.U32()
		}
		out = le.AppendUint16(out, tag)
		out = le.AppendUint16(out, perm)
		out = le.AppendUint32(out, id)
	}
	return out, c.Err()
}

// aclToDisk turns the form of setxattr(2) into that of the disk.
func aclToDisk(p []byte) ([]byte, error) {
	c := ondisk.NewCursor(p, le)
	if version := c.U32(); version != aclVersionSyscall || c.Err() != nil {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "ACL of version %d, %d bytes", version, len(p))
	}
	out := le.AppendUint32(nil, aclVersionDisk)
	for c.Len() > 0 {
		tag, perm, id := c.U16(), c.U16(), c.U32()
		out = le.AppendUint16(out, tag)
		out = le.AppendUint16(out, perm)
		if aclHasID(tag) {
			out = le.AppendUint32(out, id)
		}
	}
	return out, c.Err()
}
