// Package gpt reads GUID partition tables.
//
// # What
//
// The partition table of the UEFI specification, chapter 5.3. Which copies count
// and when follows what Linux does (block/partitions/efi.c), since it is the
// guest's kernel that has to agree.
//
// # Layout
//
//	sector    0            1         2 ... 33            partitions   n-33 ...   n-1
//	+----------------+-----------+----------------------+-----------+----------+-----------+
//	| protective MBR | header    | entries, 128 x 128 B | ...       | entries  | header    |
//	| (entry of ee)  | "EFI PART"| CRC-32 in the header |           | (backup) | (backup)  |
//	+----------------+-----------+----------------------+-----------+----------+-----------+
//
//	entry:  0 type GUID | 16 unique GUID | 32 first LBA | 40 last LBA | 48 flags | 56 name, UTF-16
//
// # Support
//
//	primary table           read, both checksums verified
//	backup table            read when the primary is damaged, with a notice; found in the
//	                        last sector, or where the damaged primary says (a grown disk)
//	512 and 4096 sectors    by the position of the signature
//	hybrid MBR              the GPT is the truth
//	no protective MBR       Linux ignores such a table: Maybe, and a notice when used
//	entries of 128..4096    read, powers of two
//
// # Limits
//
// The entries of one table take at most 4 MiB, as in Linux.
//
// # Quirks
//
// GUIDs are stored with their first three fields in little-endian order. A
// partition that ends beyond the disk is left out with a notice.
package gpt
