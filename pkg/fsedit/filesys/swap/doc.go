// Package swap recognises Linux swap space.
//
// # What
//
// The header that mkswap(8) writes, as include/linux/swap.h describes it, and
// what hibernation leaves in its place (kernel/power/swap.c).
//
// # Layout
//
//	first page (4, 8, 16, 32 or 64 KiB)
//	+------+-----------------------------------------------+-------------+
//	| 1024 | version 1 | last page | bad pages | UUID 16   | SWAPSPACE2  |
//	|      | u32       | u32       | u32       | label 16  | at page-10  |
//	+------+-----------------------------------------------+-------------+
//
// # Support
//
//	SWAPSPACE2, either byte order   UUID, label, free space
//	SWAP-SPACE (before Linux 2.2)   not recognised
//	hibernated (S1SUSPEND, ...)     recognised, has no free space
//
// # Limits
//
// One read a page size.
//
// # Quirks
//
// Swap has no tree: Root and Edit fail.
package swap
