// Package vhdx reads, writes and changes the disk images of Hyper-V, .vhdx and
// .avhdx. The specification is [MS-VHDX], Virtual Hard Disk v2 File Format.
//
// # What
//
// A disk of blocks of 1 to 256 MiB. One table, the BAT, says of each block
// whether it is in the file and where. Changes of the tables go through a log,
// so that a crash leaves a file that its next reader has to finish. An image
// that stores only differences names its parent.
//
// # Layout
//
// Everything is little-endian; all but the first MiB begins at a MiB:
//
//	0        file identifier   "vhdxfile", name of the creator in UTF-16
//	64 KiB   header 1          4 KiB: the one with the greater sequence number
//	128 KiB  header 2          holds; both are sealed by CRC-32C
//	192 KiB  region table      64 KiB: where BAT and metadata lie
//	256 KiB  its copy
//	1 MiB    log               ring of 4 KiB sectors:
//	                             entry header, descriptors | data sector | …
//	         metadata          table of items at 0, items from 64 KiB
//	         BAT               u64 each: 63..20 offset in MiB | 2..0 state
//	                             after each chunk of 2^23 sectors the entry
//	                             of that chunk's sector bitmap
//	         payload blocks, sector bitmap blocks of 1 MiB
//
// What [Format] writes has this order, the payload ascending with the guest, the
// headers and then the file identifier last.
//
// # Support
//
//	                             read     create   update
//	dynamic                      yes      yes      yes
//	fixed                        yes      yes      yes
//	differencing                 yes      no       refused
//	blocks of 1 to 256 MiB       yes      yes      yes
//	log that is not empty        replayed no       refused
//	sectors of 512 bytes         yes      yes      yes
//	sectors of 4096 bytes        notice   no       yes
//
// # Limits
//
// The BAT of a disk of 64 TiB may have 512 MiB; it is read in slices that share
// Limits.Cache with the sector bitmaps, and its holes in the file are stepped
// over. The log is scanned only when it is not empty, up to Limits.Table. A
// writer holds one slice of the BAT.
//
// # Quirks
//
// The source is never written: the log is replayed in memory, and everything but
// the headers is read through the result. Data sectors stay in the log's place
// in the file; only their positions are kept. A log without a valid entry holds
// nothing that was promised to anybody, so that the image is opened without it.
//
// Disk2vhd writes two headers of the same sequence number; they are accepted
// when they are equal to the byte.
//
// QEMU marks blocks that were never written as zeros (state 2); here they are
// not present (state 0), as the specification has it. Both read as zeros unless
// there is a parent. State 5 is a value of drafts, and reads as zeros too.
//
// The last block of a disk may end beyond the file, as long as the disk's own
// bytes do not. A change in place takes new blocks from behind everything that
// any entry of the BAT mentions.
package vhdx
