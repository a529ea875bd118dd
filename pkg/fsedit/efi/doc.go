// Package efi reads the programs of an EFI system partition: for which machine
// they are, which boot loader they are, and what GRUB has built into it.
//
// # What
//
// [Read] looks at the headers of one program. The references are the "PE Format"
// of Microsoft, which the UEFI specification takes over, the SBAT of shim, and
// include/grub/kernel.h of GRUB.
//
// # Layout
//
//	0x00  "MZ"                          of DOS
//	0x3C  u32 offset of the PE header
//	 +0   "PE\0\0"
//	 +4   COFF header, 20 bytes         machine, sections, symbols
//	+24   optional header               0x10B or 0x20B; data directories, of which
//	                                    number 4 is the table of signatures
//	 ...  section headers, 40 bytes     name, size, place in the file
//
//	section "mods" of GRUB: "mimg", place and size of a list of objects
//	  u32 type, u32 size with these 8 bytes, content
//	  type 2 is a script that runs first, type 3 the prefix
//
// # Support
//
//	shim          by the section .vendor_cert, or its name in .sbat
//	GRUB 2        by the section mods; script and prefix are read
//	systemd-boot  by the section .sdmagic, with its version
//	kernels with initramfs and arguments (UKI)  by the section .linux
//	shim's MokManager and fallback, loaders without such sections  by file name
//	signatures    only whether there are any
//
// # Limits
//
// At most 96 sections and 4096 objects are looked at, and of one text the first
// 64 KiB.
//
// # Quirks
//
// Names of sections longer than 8 bytes lie behind the symbols, which tools that
// sign a program may have cut off; such a name is empty.
package efi
