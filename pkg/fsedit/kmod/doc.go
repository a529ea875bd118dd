// Package kmod reads and writes what depmod leaves in a directory of kernel
// modules: which modules there are, what each needs, and under which aliases
// devices ask for them.
//
// # What
//
// [Load] reads the indexes of a directory into a [Tree], which answers what
// modprobe would load. [Merge] adds modules of one tree to a smaller one, as an
// initramfs holds it, and [Tree.Files] writes the indexes of the result, text
// and binary: libkmod, and udev with it, reads only the binary ones; old
// module-init-tools and busybox read only text.
//
// # Layout
//
// The binary index is a trie over keys of 7-bit characters. All integers are
// big-endian. The reference is libkmod-index.c of kmod.
//
//	 0  magic    u32  B007F457
//	 4  version  u32  00020001
//	 8  root     u32  reference of a node
//	12  nodes
//
//	reference: bit 31 prefix, bit 30 values, bit 29 children; 28 bits of
//	           file offset; 0 is no node
//
//	node, each part present only if its bit is set:
//	  prefix    characters and a NUL
//	  children  u8 first, u8 last, (last-first+1) x u32 reference
//	  values    u32 count, then count x (u32 priority, characters and a NUL)
//
// Nodes lie in any order: kmod to version 30 writes children first, later ones
// parents first.
//
// # Support
//
//	file                  read          written by Tree.Files
//	modules.dep(.bin)     yes           yes
//	modules.alias(.bin)   yes           yes
//	modules.symbols(.bin) yes           yes, if there are any
//	modules.softdep       yes           yes
//	modules.builtin(.bin) yes           no: another tree does not change it
//	modules.order         by ParseOrder no
//	index of magic B007FA57 (module-init-tools before 3.5)  refused by name
//	modules: .ko .ko.gz .ko.xz .ko.zst  decompressed by Decompress
//
// # Limits
//
// A text file has at most ondisk.Limits.Text bytes, an index Limits.Table, its
// keys together too; a module when unpacked Limits.File.
//
// # Quirks
//
// In names "-" and "_" are one, and "_" is the canonical form; in aliases so
// outside of brackets. A key is a shell pattern. Of several values the lower
// priority wins; equal ones stand in reverse order of insertion. Paths are
// relative to the directory, or absolute in indexes before kmod: a merged tree
// keeps the style of the smaller one.
package kmod
