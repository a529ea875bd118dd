// Package ondisk decodes structures that come from untrusted disks.
//
// It is the leaf that every parser stands on: checked arithmetic, bounded
// reads, a cursor with a sticky error, the limits of one run, and the error
// sentinels that all layers share. It knows no format.
//
// # Security
//
// Everything here assumes that the bytes were chosen by an attacker. A length,
// a count, a shift or an offset is checked before it is used; a read grows its
// buffer in steps, so that a lying length costs no more memory than the file
// really has.
package ondisk
