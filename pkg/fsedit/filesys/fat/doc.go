// Package fat reads and edits FAT12, FAT16 and FAT32 with long names.
//
// # What
//
// [Driver] opens the filesystem on one device: EFI system partitions mostly. The
// reference is Microsoft's "FAT: General Overview of On-Disk Format", 1.03; where
// it leaves a choice, what Linux's vfat shows is shown here.
//
// # Layout
//
//	byte 0     boot sector: parameter block, label, serial number, code
//	           FAT32: also a sector of hints, and copies of both at sector 6
//
//	+----------+-------+-------+--------------+------------------------+
//	| reserved | table | table | root         | clusters 2, 3, ...     |
//	| sectors  | 1     | 2     | not of FAT32 | files and directories  |
//	+----------+-------+-------+--------------+------------------------+
//
//	table      an entry of 12, 16 or 32 (28) bits a cluster: the next one of its
//	           chain, its end, "bad", or 0 for free
//	directory  slots of 32 bytes:  pieces of a long name, last piece first
//	                               0x00 short name 8.3   0x0B attributes
//	                               0x0E created, 0x12 read, 0x16 written
//	                               0x14, 0x1A first cluster   0x1C size
//
// The number of clusters decides between 12 and 16 bits. FAT32 is known by its
// parameter block, which has no place for the others' tables; that is what all
// systems do, and mkfs.fat makes FAT32 of fewer clusters than it should have.
//
// # Support
//
//	sectors of 512 to 4096, clusters to 512 KiB    read, edit
//	1 to 4 tables                                  read, edit; all are written
//	tables that differ                             read (the first in use), not edited
//	mirroring switched off                         read, not edited
//	long names, UTF-16                             read, edit
//	short names                                    read in code page 437; new ones are ASCII
//	case bits of Windows NT                        read
//	volume label                                   read, kept
//	read-only                                      mode 0555, edit
//	hidden, system, archive                        kept
//	marks "dirty" and "read error"                 told, kept
//	links, owners, extended attributes, devices    refused
//	FAT+ (files of 4 GiB and more), exFAT          no
//
// # Limits
//
// Limits.Cache bounds the sectors that are kept. A directory has at most 65536
// slots. Limits.Table bounds the pieces of a file and the bitmaps of an edit,
// Limits.Entries the files of a filesystem that is edited.
//
// # Quirks
//
// Times have no zone, and are read and written as UTC. Names compare as in Linux,
// without regard to the case of ASCII letters. Files are shown as root's mount
// with a umask of 022 does: owner 0, mode 0755. New names get a long name unless
// they are short names in capitals, as in Linux. A long name that is incomplete,
// belongs to another slot, or is no name ("..", "a/b") counts for nothing; half
// of a surrogate pair becomes three bytes.
//
// FAT has no checksums and no owners in its tables. So all tables and chains are
// read and compared before anything is edited or called free, and again, as they
// will be, before a session is written. The hints of FAT32 are not believed, and
// made right. A session gives out no cluster that was in use when it began.
//
// SYSLINUX loads ldlinux.sys by a list of its sectors: who rewrites that file
// unboots the guest. No other file of an EFI partition is read that way.
package fat
