// Package vhd reads, writes and changes the images of Virtual PC, Virtual Server
// and the first Hyper-V, which XenServer and Azure use as well. The specification
// is Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0.
//
// # What
//
// A fixed image is a raw disk with a footer behind it. A dynamic image stores the
// blocks of a disk that are in use, found by a table; a bitmap in front of each
// block says which of its sectors were ever written. A differencing image is a
// dynamic one that has a parent, which holds what is not stored.
//
// # Layout
//
// Everything is big-endian, in sectors of 512 bytes:
//
//	fixed     disk | footer
//
//	dynamic   0     copy of the footer      512
//	          512   header                  1024, at the footer's data offset
//	          1536  block allocation table  u32 each: sector of the block, or ffffffff
//	                block                   bitmap, then data
//	                ...
//	                footer                  512
//
//	footer    0 "conectix" | 16 data offset | 24 time | 28 creator | 48 size
//	          56 geometry | 60 type | 64 checksum | 68 UUID | 84 saved state
//	header    0 "cxsparse" | 16 table offset | 28 entries | 32 block size
//	          36 checksum | 40 UUID, 56 time, 64 name of the parent | 576 locators
//	bitmap    a bit a sector, the highest of a byte first, to a whole sector
//
// What [Format] writes is laid out like that, in guest order. The data of each
// block, not its bitmap, begins at a multiple of 4 KiB of the file.
//
// # Support
//
//	                            read     create   update
//	fixed                       yes      yes      yes
//	dynamic                     yes      yes      yes
//	differencing                yes      no       refused
//	blocks of other sizes       yes      512 KiB  yes
//	footer of 511 bytes         yes      no       yes
//	footer at the start alone   notice   no       refused
//	saved state                 notice   no       refused
//	Azure (whole MiB)           yes      yes      yes
//	to a pipe                            fixed
//
// # Limits
//
// A new disk has at most 2040 GiB, as for Microsoft's programs. The block
// allocation table and the bitmaps are read as they are needed, within
// Limits.Cache; a check and an update hold 8 bytes for each stored block, up to
// Limits.Table. No file of blocks is longer than 2 TiB.
//
// # Quirks
//
// The size of the disk is the footer's current size, always. QEMU takes that of
// the geometry unless it knows the creator, and then cuts off the end of the
// disk; images of ours carry the creator of Hyper-V, for which it does not. It
// also takes a fixed image for a raw one unless it is told.
//
// A sector whose bit is not set is zeros, or the parent's, whatever lies in its
// place. QEMU ignores bitmaps, and shows what lies there; a check finds such
// blocks. In new images a bit is set for the sectors of each page of 4 KiB that
// is not all zeros, and the others are holes, so that all programs agree.
//
// The parent's time in a differencing image is that of the parent's last change,
// which no footer holds; it serves only to find a parent that was made later.
package vhd
