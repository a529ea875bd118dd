// Package vmdk reads, writes and changes VMware's virtual disks. The
// specification is VMware's "Virtual Disk Format 5.0", technical note of 2011; it
// says nothing of vmfsSparse and seSparse, which are as QEMU and libvmdk read
// them.
//
// # What
//
// A text, the descriptor, says which extents a disk is made of. An extent is a
// range of zeros, a range of a plain file, or a sparse extent: grains found by
// two levels of tables. A disk in one file has its descriptor in the extent. What
// a delta does not store is its parent's; the parent's content id (CID) must be
// the one that the delta was made over.
//
// # Layout
//
// Little-endian; places are in sectors of 512 bytes:
//
//	monolithicSparse             streamOptimized
//	0    header                  0    header, grain directory at "the end"
//	1    descriptor              1    descriptor
//	21   redundant directory          overhead, to 64 KiB
//	     and its grain tables         grain marker {sector u64, size u32} and
//	     grain directory              compressed data, ascending; after those of a
//	     and its grain tables         table: marker, grain table
//	     grains                       marker, grain directory
//	                                  marker, footer: the header, which knows where
//	                                  end marker
//
//	grain directory  u32 each: sector of a grain table, 0: nothing of it is stored
//	grain table      512 of u32 each: sector of a grain, 0: not stored, 1: zeros
//	grain            64 KiB mostly
//
//	vmfsSparse  header 2048 bytes | directory u32 | tables of 4096 u32 | grains of 512 bytes
//	seSparse    constant header | volatile header | journal | directory u64 |
//	            tables of 4096 u64: kind 63..60, grain 11..0 at 59..48 and 59..12 at 47..0 |
//	            bitmap | backmap | grains of 4 KiB
//
// # Support
//
//	                                   read      create   update
//	monolithicSparse                   yes       yes      yes
//	twoGbMaxExtentSparse               yes       yes      yes
//	monolithicFlat, twoGbMaxExtentFlat yes       yes      yes
//	vmfs and its kinds (flat)          yes       yes      yes
//	streamOptimized                    yes       yes      refused
//	vmfsSparse, seSparse               yes       no       refused
//	deltas                             yes       no       refused
//	extents ZERO, RDONLY, NOACCESS     yes       no       not written to
//	seSparse with a journal to replay  refused   -        refused
//	devices, raw device mappings       refused   -        refused
//	encrypted disks                    refused   -        refused
//
// # Limits
//
// Directories are held in memory, up to Limits.Table for all extents of a disk;
// grain tables and unpacked grains share Limits.Cache. A descriptor has at most
// 1 MiB and 4096 extents. A stream without a directory is walked once, marker by
// marker, and its tables are kept, within the same limit.
//
// A new disk has at most 64 TiB, and a split one 4096 files of 2047 MiB. A sparse
// or stream file ends at 2 TiB, which is as far as its tables can point. A writer
// holds one grain table, and of a stream the directory.
//
// # Quirks
//
// QEMU takes only extents that may be read and written, and skips the others in
// silence, which shifts the disk; it does not know ZERO. Here every extent has its
// place, and what may not be accessed reads as zeros, with a notice.
//
// Where the descriptor of a split disk and an extent disagree on its size, QEMU
// believes the extent. Here an extent that is too short is corrupt, and of one
// that is too long the surplus is not used.
//
// What lies beyond the end of a file reads as zeros in QEMU; here the image is
// truncated and refused. QEMU's own images have their last grain whole.
//
// A descriptor inside a sparse extent describes that extent and nothing else. QEMU
// follows one in an extent of no size to other files.
//
// QEMU ends a stream without end marker or footer, its directory is in front. A
// stream that has its directory at the end and ends early has neither: refused.
//
// 7-Zip reads only whole grains, and VMware's own vmdk-convert only records of up
// to 129 sectors; so the last grain of a new stream is filled up with zeros, and
// what does not shrink is stored in deflate's own way.
//
// A CID has up to eight digits: QEMU writes no leading zeros. A change in place
// writes a new one over the old one's digits, so that deltas notice.
package vmdk
