// Package lvm maps the logical volumes of Linux LVM2.
//
// # What
//
// Physical volumes, the text that describes their volume group, and its logical
// volumes as devices. The format is that of lvm2 (lib/format_text, lvmsystemid(7),
// lvmsegtypes(7)); thin pools and RAID superblocks are those of the kernel
// (drivers/md/persistent-data, dm-thin-metadata.c, dm-raid.c). No metadata is ever
// changed: content is written where the map says.
//
// # Layout
//
//	byte    0           512            4096             pe_start            end of the device
//	+-----------+--------------+------------------+--------------------+---------------+
//	| (3 more   | label        | metadata area    | extents 0 ... n-1  | (second       |
//	|  places)  | "LABELONE"   | header, ring     | of extent_size     |  metadata)    |
//	+-----------+--------------+------------------+--------------------+---------------+
//
//	label      0 "LABELONE" | 8 sector | 16 CRC | 20 offset | 24 "LVM2 001"
//	pv header  0 UUID | 32 size | 40 data areas, 0 | metadata areas, 0
//	area       0 CRC | 4 " LVM2 x[5A%r0N*>" | 20 version | 24 start | 32 size | 40 place of the text
//	text       vg { physical_volumes { pv0 { } } logical_volumes { lv { segment1 { } } } }
//	thin pool  block 0: superblock, then trees: device → tree of its blocks → data block
//
// # Support
//
//	linear, striped               read and write
//	raid1                         read; written on all legs in sync, unless one is missing that
//	                              the array does not know to have lost
//	mirror                        read from the first leg; written on all
//	raid0, raid10                 read; raid0 also written
//	thin                          read, also snapshots and external origins
//	cache                         read when it writes through; else refused
//	origin of a snapshot          read
//	snapshot, raid4/5/6, vdo,     named and refused
//	writecache, integrity, error
//	missing physical volume       what needs it is named; the rest works
//
// # Limits
//
// A text takes at most Limits.Text and 262144 values, 16 levels deep. Volumes lie
// on each other at most 16 deep, and use an extent once: a group where two share one
// is refused. A volume is at most Limits.VirtualSize long.
//
// # Quirks
//
// Sectors in the text are of 512 bytes on all disks. The checksum is CRC-32 with a
// seed of its own and no final inversion. A name in the text is a name only: devices
// are known by the UUID in their label. The text is the truth with the highest seqno
// over all areas of all devices; where two of one age differ, nothing is written.
package lvm
