// Package fsedit opens the disks of one machine: it finds their volumes, what is
// on them, and the guest that they make up. [Open] is the one call; the result is
// a [Machine] with the guest's tree and the facts about it.
//
// The disks are devices, of any image format. They should be overlays: what an
// unclean journal holds is replayed into them, and edits are committed to them.
package fsedit
