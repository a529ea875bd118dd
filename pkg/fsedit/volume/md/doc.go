// Package md maps the arrays of Linux software RAID.
//
// # What
//
// The superblocks of md (include/uapi/linux/raid/md_p.h) and the levels that need no
// parity, as drivers/md/{linear,raid0,raid1,raid10}.c lay them out. No superblock and
// no bitmap is ever changed: content is written to each leg alike.
//
// # Layout
//
//	version   superblock at                  data at
//	0.90      the last but whole 64 KiB      0
//	1.0       8 KiB before the end           0, so that a leg looks like its content
//	1.1       0                              data offset
//	1.2       4096                           data offset
//
//	1.x   0 magic a92b4efc | 8 features | 16 UUID | 32 name | 72 level | 80 size | 88 chunk | 92 members
//	      128 data offset, size | 144 own sector | 160 number | 200 events | 216 sum | 256 roles
//	0.90  0 magic | 28 level | 32 size | 40 members | 152 sum | 156 events | 256 layout | 512 disks | 3968 this
//
//	RAID 0 of members of several sizes:
//	  member 0  | 0 | 3 | 6 |        zone 0: chunks 0 ... 8 on three members,
//	  member 1  | 1 | 4 | 7 | 9 |    zone 1: the rest on those that are larger
//	  member 2  | 2 | 5 | 8 | 10| 11 |
//
// # Support
//
//	RAID 1                     read; written on all legs in sync
//	RAID 0, linear             read and write; members of several sizes too
//	RAID 10, near copies       read
//	degraded RAID 1 and 10     read, with a notice; written when the superblocks say which
//	                           member is lost, so that it cannot come back as if in sync
//	member behind in events    left out
//	RAID 4, 5, 6; RAID 10 far or offset; reshaping; journals; bad blocks
//	                           named and refused
//	IMSM, DDF                  not looked for
//
// # Limits
//
// 1920 members; an array of Limits.VirtualSize.
//
// # Quirks
//
// The byte order of 0.90 is that of the machine that made the array: both are read.
// Its superblock does not say where it lies, so that the end of a disk and that of
// its last partition may show the same one: the answer is then Maybe, and a partition
// table wins. Where the members of a RAID 0 differ in size, the layout depends on the
// kernel that wrote it unless it is recorded: without that it is refused.
package md
