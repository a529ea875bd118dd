// Package edit turns what a guest is into the changes that make it start on
// another hypervisor. Each [Edit] is one concern in its own file; they run in a
// fixed order, each on a tree that already holds the changes before it. The
// result is data: one [Change] a path, with all its reasons. Dry run, report and
// revert come from that, and tests need no disk.
//
//	guest.Facts ─┐
//	guest.View ──┴─► [Staged] ──[Plan]──► [Staged.Changes] ──[Apply]──► filesystems
//
// Configuration is edited by token in its own bytes: comments, order, line ends
// and unknown lines survive. Nothing is regenerated, nothing guessed: what an
// edit does not know stays, and is a [Warning] where it matters. An edit that has
// run finds nothing to do when it runs again.
//
// # Edits
//
//	devices           fstab, crypttab, resume, mdadm, device.map, debconf, units
//	lvm               filters and the list of devices of LVM
//	uefi              a program that firmware finds without its boot entries
//	grub2             kernel arguments of the menu, its settings, its environment
//	entries           kernel arguments of boot entries that are files
//	console           login prompts of inittab, systemd, upstart; securetty
//	network           names of network cards
//	leftovers         blacklists of the target's drivers, Xen's filesystem
//	initramfs-config  drivers in the next initramfs that the guest makes
//	initramfs         drivers in every initramfs that it has
//
// # Quirks
//
// A filesystem is named by its UUID where that is unambiguous, else by the
// target's name of the disk. A kernel without an initramfs gets the PARTUUID.
package edit
