// Package initramfs reads the file that a Linux kernel unpacks as its initial
// root filesystem, and makes a segment that can be appended to it.
//
// # What
//
// The file is a sequence of segments. The kernel unpacks them in order into one
// tree, where a later entry replaces an earlier one: appending a segment
// changes the tree and keeps the rest of the file bit for bit. The references
// are Documentation/driver-api/early-userspace/buffer-format.rst and
// init/initramfs.c of the kernel.
//
// # Layout
//
//	offset 0                      multiple of 4             multiple of 4
//	+------------------+--------+-------------------+-----+---------------+
//	| cpio (microcode) | NULs   | compressed cpio   | NULs| cpio (ours)   |
//	+------------------+--------+-------------------+-----+---------------+
//	  optional, plain             one frame, one          marker first
//	                              method, >= 1 archive
//
// # Support
//
//	method  recognised  read  where its frame ends
//	none    yes         yes   the trailer
//	gzip    yes         yes   one member
//	bzip2   yes         yes   the end-of-stream magic
//	lzma    yes         yes   the size in the header, or the end marker
//	xz      yes         yes   the footer, found by walking the chunk headers
//	lzo     yes         no
//	lz4     yes         yes   legacy frames; a block of length 0 or no block
//	zstd    yes         yes   the last block, found by walking the block headers
//
// xz filters other than LZMA2 are not supported.
//
// # Limits
//
// Contents stream by and are kept only where [Options.Keep] asks for it. Names
// and kept contents are each bounded by ondisk.Limits.Cache, one kept file by
// Limits.Text, the unpacked bytes of all segments by Limits.File.
//
// # Quirks
//
// The tree follows the kernel and not tar: a parent that is missing is not
// created and its entries vanish; an entry of another type removes the object
// that was there, so a directory entry "lib" destroys a link "lib -> usr/lib";
// writing over one of several hard links changes them all. [Delta] does none of
// these: it lays a link in the place of a file with several names, and then the new
// file in the place of the link.
package initramfs
