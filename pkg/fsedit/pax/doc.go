// Package pax reads and writes the archives of file trees that tar(1) makes:
// with owners, times to the nanosecond, extended attributes, ACLs, devices and
// holes.
//
// # What
//
// [Writer] makes a POSIX.1-2001 ("pax") archive, from front to back and with the
// same bytes for the same tree. [Members] reads that, and what older tars wrote,
// from a device; a member's content is a part of the device and is not copied.
// What POSIX leaves open is done as GNU tar does it (GNU tar manual, "Sparse
// Formats", "Extended Headers"), and as star for attributes and ACLs.
//
// Names are bytes and not checked: who extracts decides what is a path.
//
// # Layout
//
//	0       header      512 bytes; one for each member
//	          0  name      100  mode      108  uid       116  gid
//	        124  size      136  mtime     148  checksum  156  type
//	        157  link      257  "ustar\0" 263  "00"      265  user
//	        297  group     329  major     337  minor     345  prefix of name
//	512     data        size bytes, zeros up to a multiple of 512
//
//	a member that needs more has an extended header before it, type 'x':
//	        "LENGTH KEY=VALUE\n"…   path, linkpath, size, uid, gid, mtime, atime,
//	                                SCHILY.xattr.NAME, SCHILY.acl.access, …
//	sparse member, GNU format 1.0:
//	        "COUNT\nOFFSET\nLENGTH\n…", zeros up to a multiple of 512, the data
//	        of all segments one after the other
//	end     two blocks of zeros, more up to a multiple of 10240 bytes
//
// # Support
//
//	                                    read     write
//	V7, ustar                           yes      no
//	pax headers, for one and for all    yes      for one
//	GNU: long names, base-256 numbers   yes      numbers
//	sparse: old GNU, 0.0, 0.1, 1.0      yes      1.0
//	attributes: SCHILY.xattr, RHT       yes      SCHILY.xattr
//	ACLs: SCHILY.acl.access, .default   yes      yes, with numeric ids
//	several volumes                     refused  no
//	Solaris ACLs, volume labels         skipped  no
//
// # Limits
//
// Limits.Text bounds one extended header and one long name, Limits.Entries the
// segments of one member. The writer stores a file with more than a million holes
// with the rest of them as zeros.
//
// # Quirks
//
// A name that is not UTF-8 stands in the header as it is, or in "path" without
// a mark: GNU tar takes it as it is, and warns of the mark. A segment's data is
// padded to 512 bytes by GNU tar and not by others; the size of the member tells
// which. An archive that ends without blocks of zeros, behind a whole member, is
// complete. Owners are read by number, the names beside them are left alone; an
// ACL of GNU tar has names only ("user:fred:rw-"), for which [ReadOptions] asks.
package pax
