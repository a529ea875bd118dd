// Package signature names what lies on a device by its magic number, for
// everything that no driver here opens: an error can then say that the root is on
// btrfs, and a name of fstab finds its volume by UUID or label.
//
// # What
//
// One table of magic numbers, each with the few fields that blkid(8) shows. The
// offsets are those of the kernel's and the tools' public headers, and are judged
// by blkid in the tests.
//
// # Layout
//
//	byte 0      LUKS, squashfs, md 1.1; NTFS, exFAT, BitLocker in a boot sector
//	512 x 0..3  LVM2 label
//	1024        f2fs, erofs
//	4096        md 1.2, bcache
//	32768       iso9660, jfs
//	65536       btrfs, reiserfs
//	end         md 1.0, md 0.90
//
// # Support
//
// Two lists: [Container] is what other volumes lie in and outweighs whatever else
// looks like something there, [Foreign] is filesystems.
//
// # Limits
//
// A fixed number of small reads; nothing is followed.
//
// # Quirks
//
// NTFS keeps its label in a file, so it has none here.
package signature
