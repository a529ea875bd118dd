// Package squashfs reads squashfs 4.0, the compressed filesystem of live systems
// and snaps.
//
// # What
//
// [Driver] opens the filesystem on one device, as fs/squashfs/squashfs_fs.h and
// Documentation/filesystems/squashfs.rst of the Linux kernel describe it. Opening
// reads the superblock; a path costs the metadata blocks of its inodes and
// directories. It is a reader of its own: those of libraries allocate what an
// inode claims before they see whether it can be true.
//
// # Layout
//
//	0     superblock, 96 bytes
//	      data blocks and fragment blocks, each compressed by itself
//	      inode table        metadata blocks: inodes of 14 kinds
//	      directory table    metadata blocks: runs of up to 256 entries
//	      fragment table     metadata blocks of 512 entries, then their places
//	      export table       not read
//	      id table           metadata blocks of 2048 owners, then their places
//	      xattr table        metadata blocks, their ids, their places
//
//	metadata block   +--------+-------------------------------+
//	                 | u16 n  | n bytes: 8 KiB, or compressed |
//	                 +--------+-------------------------------+
//	                  bit 15: not compressed
//
// A file is its data blocks one after the other, whose lengths are in its inode
// (bit 24: not compressed; 0: a hole), and a tail that shares a fragment block
// with other files. An inode is named by the place of its metadata block and its
// offset in what that unpacks to.
//
// # Support
//
//	gzip, xz, zstd, lz4        read
//	lzma, lzo                  refused by name
//	xz with a filter (-Xbcj)   refused by name
//	xattrs                     user, trusted, security
//	hard links, holes          read
//	squashfs 1, 2, 3           not recognised
//	editing                    refused: the medium is read-only
//
// # Limits
//
// Limits.Cache bounds the unpacked blocks that are kept, Limits.Table the list of
// blocks of one open file, Limits.Entries a directory. A block unpacks to at most
// what the superblock says, which is 1 MiB or less; nothing is allocated before
// the bytes that need it were read.
//
// # Quirks
//
// A directory's size is three bytes more than its entries take. Counts are stored
// less one. Files have times of whole seconds and no others than mtime.
package squashfs
