// Package ext reads and edits ext2, ext3 and ext4.
//
// # What
//
// [Driver] opens the filesystem on one device. Reading follows "ext4 Data
// Structures and Algorithms" and "Journal (jbd2)" of the Linux kernel's
// documentation. Nothing is loaded ahead: opening reads the superblock, and a
// path costs an inode and a directory block for each of its names.
//
// A filesystem that was not unmounted is recovered when it is opened: the
// journal is replayed into the device, which must be an overlay then. All
// metadata that carries a checksum is verified each time that it is read.
//
// # Layout
//
//	byte 0      boot sector, not ours
//	byte 1024   superblock, 1024 bytes: geometry, features, counters
//	            group 0, 1, 2 ... of equal size, the last may be shorter:
//
//	+------------+-------------+--------+--------+-------------+-------------+
//	| superblock | descriptors | block  | inode  | inode table | blocks of   |
//	| (backup)   | of groups   | bitmap | bitmap |             | files       |
//	+------------+-------------+--------+--------+-------------+-------------+
//	 some groups   some groups   anywhere with flex_bg
//
//	inode       0x00  mode, owner, size, times, links, flags
//	            0x28  60 bytes: block map, target of a link, or content
//	            0x80  more of times; then extended attributes
//
// A file's block map is a tree of extents, or the indirect blocks of ext2. A
// directory is a file of entries; the inner nodes of an htree look like blocks
// without entries, so that reading needs no index.
//
// # Support
//
//	ext2, ext3, revision 0            read, edit
//	blocks of 1 to 64 KiB             read, edit
//	inodes of 128 bytes to a block    read, edit
//	extents, indirect blocks          read, edit
//	inline_data                       read; content that is replaced moves to blocks
//	ea_inode                          read; a value in an inode of its own is not changed
//	casefold                          read; +F directories are not edited
//	metadata_csum, uninit_bg          verified, written
//	meta_bg, flex_bg, 64bit           read, edit
//	bigalloc, quota, shared_blocks    read
//	encrypt                           listed, names in base64
//	journal, all checksums            replayed
//	fast commits                      left to the guest, and not edited
//	external journal                  read when clean
//	compression, dirdata              refused
//	unknown bits                      incompat refused, ro_compat read
//
// Editing never sets a feature bit. What the features of a filesystem cannot
// say (a file beyond 2 GiB without large_file, an attribute larger than a block)
// is refused.
//
// # Limits
//
// Limits.Cache bounds the metadata blocks that are kept, Limits.Table the group
// descriptors, the revoked blocks of a journal and the list of free ranges,
// Limits.Entries a directory. A file of any size or fragmentation takes one node
// of its map.
//
// # Quirks
//
// The superblock counts free blocks, descriptors free clusters. i_blocks of an
// inline file is zero, but stat(2) says otherwise, and so does Attr. mke2fs -d
// makes inline files that are longer than their data: the rest is zero. The
// kernel leaves one block unused before its fast commits. The flag that a
// filesystem needs recovery counts, its state does not: that says "clean" while
// it is mounted.
//
// A session reuses no block that was in use when it began, so that all old
// content is whole until Commit; rewriting a file takes its room twice. Directories
// and maps are built anew where a name or a block does not fit, never split.
// Commit takes the counters of the superblock from the descriptors, as a mount
// does. Default ACLs are not inherited: who creates says what an object gets.
package ext
