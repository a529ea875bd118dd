// Package iso9660 reads ISO 9660, the filesystem of CDs, DVDs and their images.
//
// # What
//
// [Driver] opens the filesystem on one device, as ECMA-119 describes it, with the
// Rock Ridge Interchange Protocol (IEEE P1282) and Joliet. It shows the tree that
// Linux shows: Rock Ridge where there is one, else Joliet, else the plain names in
// small letters without their version. Opening reads the volume descriptors and
// the root's first record; directories are read block by block as they are asked
// for. It is a reader of its own: those of libraries allocate what a record
// claims, and do not find all directories of Joliet.
//
// # Layout
//
//	byte 0      system area, not ours: partitions and boot code of hybrid images
//	byte 32768  volume descriptors, 2048 bytes each, up to a terminator
//
//	descriptor  0    type: 1 primary, 2 supplementary (Joliet), 255 terminator
//	            1    "CD001"
//	            40   label
//	            80   blocks, 128 bytes of a block, 156 record of the root
//
//	record      0    length          25   flags: directory, more extents, ...
//	            2    first block     32   length of the name, and the name
//	            10   bytes           then "system use": Rock Ridge
//	            18   time
//
// A directory is a file of records; none crosses the end of a block. Rock Ridge
// is a list of entries of two letters in the system use area, which continues
// elsewhere when it is long ("CE").
//
// # Support
//
//	Rock Ridge                 names, owners, modes, links, devices, times
//	relocated directories      shown where they belong (CL, RE)
//	Joliet 1 to 3              read
//	several extents of a file  read
//	zisofs, interleaved files  listed; their content is refused by name
//	El Torito                  not a file, not shown
//	UDF bridges                the ISO 9660 side
//	multisession               the first session
//	editing                    refused: the medium is read-only
//
// # Limits
//
// Limits.Entries bounds a directory. A record's Rock Ridge has at most 64 KiB in
// 64 parts; a file at most 65536 extents. Nothing is allocated by what a record
// claims; Limits.Cache bounds the blocks of directories that are kept.
//
// # Quirks
//
// Each name of a file is its own object, even where Rock Ridge says that it has
// several. Both byte orders of a number are stored; the little one counts.
// genisoimage damages targets of links that have some hundred bytes: such a link
// is listed, but cannot be followed.
package iso9660
