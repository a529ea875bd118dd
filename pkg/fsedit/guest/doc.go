// Package guest is one guest system over its volumes: its tree, joined by mount
// points, and what it is. It states facts and changes nothing; package edit
// turns facts into changes.
//
// Nothing is taken from package databases that the files themselves can tell:
// kernels are found from their module trees and boot entries, loaders and
// initramfs generators from content. A disk without a system has a tree too.
//
// # What costs what
//
// [Inspect] finds out as much as its [Level] says. To read a file it takes level
// [Mounts]: the superblock of each filesystem, a look at the top of those that
// could be a root, and fstab; no directory is walked, and a filesystem below the
// root is opened when a path first leads into it.
//
// # Names of devices
//
// A guest's files name volumes in the words of the hypervisor that it ran on.
// [Devices] resolves what can be resolved by UUID, label or counting; the entries
// of fstab are then matched with what is left, where only one match is possible.
// Nothing is guessed: what is ambiguous stays open and is a warning.
//
// # EFI system partitions
//
// One that fstab does not mount is in the tree all the same, on an empty /boot/efi
// or /efi of the guest, else at a place of its own that no listing shows. What its
// programs lead to is followed as far as their files tell, which is all that a new
// machine has: boot entries are in the memory of the old one.
//
// # Limits
//
// A path leads through at most 40 links. Text files are read up to Limits.Text.
// The YAML of netplan is understood in block style only. btrfs subvolumes and
// the discoverable partitions of GPT are not resolved yet, but for EFI system
// partitions.
package guest
