// Package vdi reads, writes and changes VirtualBox's disk images, version 1.1.
// There is no document of the format; VirtualBox's sources define it
// (src/VBox/Storage/VDICore.h).
//
// # What
//
// A disk of blocks, as a rule of 1 MiB. One flat table, the block map, says where
// in the file each block of the disk is stored, that it is zeros, or that it was
// never written.
//
// # Layout
//
// Everything is little-endian:
//
//	0x000   text             "<<< ... Disk Image >>>\n"
//	0x040   signature        0xbeda107f, version, size of the header from 0x48
//	0x04c   type, flags, comment of 256 bytes
//	0x154   offsets of the block map and of the data
//	0x170   size of the disk, of a block, of the extra bytes before a block,
//	        number of blocks, number of blocks stored
//	0x188   UUIDs: image, modification, link (the parent), its modification
//	0x1c8   geometry
//	map     u32 a block: its place in the data; fffffffe zeros; ffffffff nothing
//	data    place p is at data + p * (extra + block size), extra bytes first
//
// The places in use are 0 to the number of blocks stored, without a gap: the
// next block goes to the end. A static image stores every block at its own place.
//
// What [Format] writes:
//
//	0        0x200        1 MiB, or more
//	header | block map | blocks in guest order
//
// # Support
//
//	                                read      create   update
//	dynamic                         yes       yes      yes
//	static                          yes       yes      yes
//	blocks of 4 KiB to 256 MiB      yes       1 MiB    yes
//	extra bytes before a block      skipped   no       kept
//	differencing                    refused   no       refused
//	undo                            refused   no       refused
//	versions 0.x                    refused   no       refused
//
// # Limits
//
// The map is read in slices that share Limits.Cache. A disk has at most 2^30 - 1
// blocks. A writer holds 1 MiB of map. Checking and changing an image take one
// bit a block that its file can hold, up to Limits.Table.
//
// # Quirks
//
// A differencing image names its parent by UUID alone, and no file name leads
// there; it is refused with that UUID.
//
// VirtualBox makes disks of any number of bytes. They are read in whole sectors
// of 512 bytes, the last one with what its block has there, as QEMU does.
//
// QEMU opens blocks of 1 MiB only, so no others are written.
//
// VirtualBox and QEMU put the next block where the number of stored blocks says.
// An entry at or above that number would be overwritten; a check calls it
// damage, and such an image is not changed in place.
//
// VirtualBox refuses a second image with the UUID of one that it knows, so each
// new image needs a UUID of its own; see imagefmt.CreateOptions.Rand. A change
// gives the image a new modification UUID, since snapshots above it, which name
// the old one, no longer fit.
package vdi
