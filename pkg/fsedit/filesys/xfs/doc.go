// Package xfs reads and edits XFS, and replays its log.
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
//	version 4 and 5                    read, written; version 4 with directories of version 2
//	blocks of 512 bytes to 64 KiB      read, written
//	ftype                              read, written
//	ascii-ci                           read; such names are found whatever their case
//	reflink, rmapbt, finobt            read, written; shared blocks lose one owner
//	bigtime, inobtcount, nrext64       read, written; an inode keeps the form that it has
//	sparse inodes, meta_uuid           read, written
//	exchange                           read, written
//	parent pointers, metadir           read; the pointers are not shown
//	version 4 without attr2            read, written; but no first attribute
//	quotas                             the guest's kernel counts anew after an edit
//	realtime device                    its files are refused, all others read and written
//	log of version 1 and 2             replayed
//	unfinished work in the log         left to the guest; no edit, and free space not told
//	external log                       refused
//	zoned, unknown bits                refused; of ro_compat read
//	needsrepair                        read
//
// # Limits
//
// Limits.Cache bounds the blocks that are kept, Limits.Table the list of free
// ranges and (four times it) transactions of the log that have no end yet,
// Limits.Entries a directory, Limits.Text the attributes of a file. A file of any
// size or fragmentation takes one leaf of its map.
//
// An edit takes memory for the names of each directory that it changes, and for the
// records of the groups that it allocates in; the latter Limits.Table bounds.
//
// # Quirks
//
// An edit does not follow the kernel's code but builds anew what it changes: the
// trees of a group, the map of a file, a directory, the attributes of an inode. A
// directory is built when the transaction ends, once, however many names changed;
// until then its size and blocks are those from before. Its entries have no holes
// between them, since GRUB has stumbled over these. Nothing is left unwritten in new
// files either: GRUB shows what lies in such blocks.
//
// New structures have an LSN of 0, so that no log is behind them.
//
// A frozen filesystem has a dirty log by intent. Files that were deleted while
// open are freed only by the recovery of a log: where there are such, the log is
// replayed here and left dirty, so that the guest's kernel does that and replays
// what is there already; an edit frees them itself, and ends the log. Unfinished
// work (intents without their end) is left to the guest; kernels from 5.19 on hardly
// leave any.
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
