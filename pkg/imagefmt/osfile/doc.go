// Package osfile is the host: the only package besides the commands that opens
// files. Everything that formats read from and write to comes from here.
//
// # Reading
//
// [Open] gives a source: read-only, access time untouched where the system
// allows it, holes found by SEEK_DATA, and refused while somebody else writes
// to it. A source leads to other files only through Sibling, whose policy is
// [Options.Siblings]; by default nothing outside the image's own folder.
//
// # Writing
//
// [Create] gives an output under a temporary name, which gets its own name when
// it is complete. Outputs that belong together share a [Set]. A block device is
// written where it is, its first bytes last; [Stream] writes to a pipe.
//
// # Changing
//
// [Begin] starts a transaction: a copy-on-write view of host files. Its commit
// writes a redo log beside each file, and applies it then. [Recover] finishes
// what a crash left, and a source shows a file as if that had happened already.
// No format has crash code of its own.
//
// # Locks
//
// On Linux three things are asked, all of the kernel and none of other
// programs. Open-file-description locks on the bytes that QEMU uses (see
// "image locking" in QEMU's documentation): QEMU refuses to write what we read,
// and to open what we change. An open-file-description lock of our own, far
// beyond any image's end. A lease, which tells whether anybody at all has the
// file open for writing, a loop device for instance. Block devices are opened
// exclusively, which a mounted one refuses. Other systems have none of this:
// there the user has to know that the machine is off.
package osfile
