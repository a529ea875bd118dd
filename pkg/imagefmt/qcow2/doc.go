// Package qcow2 reads, writes and changes QEMU's copy-on-write images, versions
// 2 and 3. The specification is docs/interop/qcow2.txt of QEMU.
//
// # What
//
// A disk of clusters. A two-level table maps each guest cluster to a place in
// the file, to zeros, to compressed data, or to nothing, which means the backing
// file. Reference counts say which clusters of the file are in use.
//
// # Layout
//
// Everything is big-endian and begins at a cluster, except compressed data:
//
//	0        header          72 bytes in version 2, 104 or more in version 3
//	         extensions      {type u32, length u32, data, padding to 8}, then the
//	                         name of the backing file; all in the first cluster
//
//	L1 table      u64 each   63 copied | 55..9 offset of the L2 table
//	L2 table      one cluster of entries, u64 or with a bitmap of subclusters u128
//	  plain       63 copied | 62=0 | 55..9 offset of the cluster | 0 zero
//	  compressed  62=1 | sectors after the first | byte offset   (x = 70 - cluster_bits)
//	              61                            x x-1        0
//	  bitmap      63..32 zero subclusters | 31..0 allocated subclusters
//	refcount table  u64 each, offset of a refcount block
//	refcount block  one cluster of counts of 1 to 64 bits
//
// What [Format] writes:
//
//	header | guest data in guest order, each L2 table after what it maps,
//	each refcount block after what it counts | L1 | last refcount blocks |
//	refcount table
//
// # Support
//
//	                             read     create   update
//	version 2, 3                 yes      yes      yes
//	clusters of 512 B to 2 MiB   yes      yes      yes
//	compression zlib, zstd       yes      yes      rewritten plain
//	extended L2 entries          yes      yes      yes
//	backing file                 yes      yes      yes
//	refcounts of 1 to 64 bits    unused   yes      yes
//	internal snapshots           notice   no       kept
//	persistent bitmaps           notice   no       marked invalid
//	external data file           yes      no       refused
//	dirty bit, lazy refcounts    notice   no       dirty refused
//	encryption                   refused  no       refused
//	preallocation                yes      yes      kept
//
// # Limits
//
// Tables are loaded up to Limits.Table, and never beyond QEMU's own caps: 32 MiB
// of L1 table, 8 MiB of refcount table. L2 tables and decoded clusters share
// Limits.Cache. A writer holds one L2 table, the L1 table and one refcount
// block or two, however large the disk is.
//
// # Quirks
//
// Data that would lie beyond the end of the file reads as zeros in QEMU; here
// the image is truncated and refused, since that is what a download looks like
// that broke off. QEMU makes preallocated images at their full length, so no
// good image is lost.
//
// QEMU counts disks in sectors of 512 bytes and cuts off the rest; a new image is
// rounded up, an image with an odd size is read to its last byte.
//
// A change in place takes new clusters from behind the end of the file, or from
// what it freed itself: a count of zero that somebody else left is not trusted.
// A cluster is written in place only when the flag "copied" and its count agree.
// Bitmaps get the flag in_use, which keeps their clusters accounted for.
//
// A compressed stream begins at any byte, and its last sector may belong to the
// next one: the length in the entry is an upper bound. Compressed "zlib" data is
// raw deflate without zlib's frame.
package qcow2
