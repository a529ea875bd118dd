// Package cpio reads and writes cpio archives of the "new ASCII" kind, the one
// that Linux unpacks as its initial root filesystem.
//
// # What
//
// An archive is a sequence of entries and ends with an entry named TRAILER!!!.
// The reader is a forward stream; it skips contents that nobody asks for. The
// writer makes what the kernel accepts in every version: magic 070701, no hard
// links. The reference is Documentation/driver-api/early-userspace/buffer-format.rst
// of the Linux kernel.
//
// # Layout
//
//	  0  magic      6 bytes  "070701", or "070702" with checksums
//	  6  ino        8 hex digits, as all that follow
//	 14  mode       type and permissions, as in stat(2)
//	 22  uid
//	 30  gid
//	 38  nlink
//	 46  mtime      seconds since 1970
//	 54  filesize   bytes of data
//	 62  devmajor   of the device that the file came from
//	 70  devminor
//	 78  rdevmajor  of a device node
//	 86  rdevminor
//	 94  namesize   with the final NUL
//	102  check      sum of the data's bytes in 070702, else 0
//	110  name       padded with NULs so that header and name fill 4-byte units
//	     data       padded likewise
//
// # Support
//
//	magic    read  write
//	070701   yes   yes
//	070702   yes   no: some kernels lack it
//	070707   no    no: named in the error
//
// # Limits
//
// A name has at most 4096 bytes (PATH_MAX), a file less than 4 GiB.
//
// # Quirks
//
// The trailer is optional to the kernel, and so it is to the reader. An archive
// may be followed by NULs and another archive in the same stream: see
// [Reader.NextArchive]. A set of hard links carries its data with the last of
// its entries, as GNU cpio writes it, or with the first.
package cpio
