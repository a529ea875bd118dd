// Package xfs reads XFS, and replays its log.
//
// # What
//
// [Driver] opens the filesystem on one device. Reading follows "XFS Algorithms &
// Data Structures", 3rd edition (kernel.org), and for younger features the
// kernel's public headers. Nothing is loaded ahead: opening reads the superblock
// and the end of the log, and a path costs an inode and a few directory blocks for
// each of its names.
//
// A filesystem that was not unmounted, or was copied while frozen, is recovered
// when it is opened: the log is replayed into the device, which must be an overlay
// then. All metadata of version 5 is verified each time that it is decoded: magic,
// checksum, UUID, its own place, its owner.
//
// # Layout
//
//	group 0, 1, 2 ... of equal size (AG), the last may be shorter:
//
//	+------------+-----+-----+------+---------------------------------------+
//	| superblock | AGF | AGI | AGFL | B-trees of free space and of inodes,  |
//	| (copy)     |     |     |      | inodes, blocks of files, the log      |
//	+------------+-----+-----+------+---------------------------------------+
//	 sector 0      1     2     3      anywhere
//
//	inode       0x00  core of 100 or 176 bytes: mode, owner, size, times
//	            0x64  data fork: content, extents, or the root of a B-tree
//	            0xb0  (the same in version 5)
//	            + 8 x forkoff  attribute fork, of the same kinds
//
//	directory   byte 0        entries, unused room among them
//	            byte 2^35     their index: hash and place, a B-tree of leafs
//	            byte 2^36     where there is room
//
//	log         512    record: magic, cycle, length, tail, checksum
//	            512 n  operations; each block begins with its cycle
//
// A block number holds that of its AG in its upper bits, and so does an inode
// number: both have gaps where the size of an AG is no power of two.
//
// # Support
//
//	version 4 and 5                    read; version 4 with directories of version 2
//	blocks of 512 bytes to 64 KiB      read
//	ftype, ascii-ci                    read; such names are found whatever their case
//	reflink, rmapbt, finobt            read
//	bigtime, inobtcount, nrext64       read
//	sparse inodes, meta_uuid           read
//	parent pointers, metadir, exchange read; the pointers are not shown
//	realtime device                    its files are refused, all others read
//	log of version 1 and 2             replayed
//	unfinished work in the log         left to the guest, and free space not told
//	external log                       refused
//	zoned, unknown bits                refused; of ro_compat read
//	editing                            refused
//
// # Limits
//
// Limits.Cache bounds the blocks that are kept, Limits.Table the list of free
// ranges and (four times it) transactions of the log that have no end yet,
// Limits.Entries a directory, Limits.Text the attributes of a file. A file of any
// size or fragmentation takes one leaf of its map.
//
// # Quirks
//
// A frozen filesystem has a dirty log by intent. Files that were deleted while
// open are freed only by the recovery of a log: where there are such, the log is
// replayed here and left dirty, so that the guest's kernel does that and replays
// what is there already. So it is with unfinished work (intents without their
// end); kernels from 5.19 on hardly leave any.
//
// The log is marked clean as an unmount does it, by one record at its head: its
// sequence numbers go on, and none in the filesystem is ahead of it. The counters
// of the superblock are not logged, and are summed up from the groups.
//
// A long symbolic link has one header for each run of blocks, an attribute one for
// each block. POSIX ACLs are shown under their names of the system only; the
// kernel lists them as trusted.SGI_ACL_FILE and trusted.SGI_ACL_DEFAULT, too.
// mkfs.xfs 6.1 makes long links of version 5 without headers from a prototype;
// these are corrupt for the kernel, and here.
package xfs
