// Package mbr reads the PC partition table, with its chain of logical partitions.
//
// # What
//
// The table in the first sector of a disk, as PC BIOSes and DOS used it. Public
// descriptions: the UEFI specification, chapter 5.2 "LBA 0 Format"; the chain of
// logical partitions as Linux reads it is in block/partitions/msdos.c.
//
// # Layout
//
//	sector 0                      extended partition (type 05, 0f, 85)
//	+-----+--------------------+  +-------------------+      +-------------------+
//	|   0 | boot code          |  | EBR               |  +-->| EBR               |
//	| 440 | disk id, u32       |  | 446 data entry  ----+  | 446 data entry    |
//	| 446 | 4 entries of 16    |  | 462 link entry  --+ |  | 462 0             |
//	| 510 | 55 aa              |  | 510 55 aa         | |  | 510 55 aa         |
//	+-----+--------------------+  +-------------------+ |  +-------------------+
//	                               logical partition <--+
//
// A data entry counts from its own EBR, a link entry from the extended partition.
//
// # Support
//
//	primary partitions          read, numbered 1 to 4 by slot
//	logical partitions          read, numbered from 5 in the order of the chain
//	extended partitions         walked; not volumes themselves
//	512 and 4096 byte sectors   by the device's geometry; by the chain when it is silent
//	BSD, Solaris, Minix tables  inside partitions: not read
//
// # Limits
//
// At most 128 links are followed, and none twice.
//
// # Quirks
//
// Types lie, so they are reported and never trusted. A boot sector of FAT or NTFS
// also ends in 55 aa: entries whose first byte is neither 00 nor 80 are no table.
// A protective table without a readable GPT gives no partition.
package mbr
