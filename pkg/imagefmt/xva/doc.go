// Package xva reads and writes the exports of XenServer and XCP-ng: a virtual
// machine with its disks in one file. There is no specification but the source of
// xapi, the hosts' toolstack (github.com/xapi-project/xen-api, ocaml/xapi:
// importexport.ml, export.ml, import.ml, stream_vdi.ml).
//
// # What
//
// A tar archive. Its first member describes the machine; then come the disks,
// one after the other, cut into chunks of 1 MiB. Chunks of zeros are left out.
//
// [Format] takes an export of one disk for an image, as any other format.
// [Index] has the machine and all of its disks; [NewWriter] writes them.
//
// # Layout
//
//	ova.xml                  XML-RPC: struct of version and objects, each of them
//	                         {class, id, snapshot}: VM, VBD, VDI, VIF, network, SR
//	Ref:4/00000000           chunk 0 of the disk whose VDI has the id Ref:4
//	Ref:4/00000000.xxhash    its XXH64, 16 upper-case hex digits, or
//	Ref:4/00000000.checksum  its SHA-1, 40 lower-case hex digits (before 8.3)
//	Ref:4/00000017           chunk 17; those between are zeros
//	Ref:4/00000017.xxhash
//	…                        numbers ascend; the first and the last chunk of a
//	                         disk are always there; the last may be shorter
//	Ref:7/00000000           the next disk; references ascend as text
//
// # Support
//
//	                                  read     write
//	one disk, as an image             yes      yes
//	machine with several disks        Index    NewWriter
//	BIOS, UEFI, paravirtual           yes      yes
//	XXH64                             checked  yes
//	SHA-1                             checked  no
//	archives without checksums        yes      no
//	snapshots of the machine          ignored  no
//	UEFI variables, vTPM              no       no
//	compressed as a whole             not here: the source comes unpacked
//	pipe                              no       yes
//	update in place                   no       no
//	exports of XenServer 3 (Geneva)   no       no
//
// Options of Create: name, memory, vcpus, firmware.
//
// # Limits
//
// ova.xml is read up to Limits.Text. The index holds runs of chunks, of all disks
// together up to Limits.Table: an export without holes is a few runs.
//
// # Quirks
//
// A chunk is compared with its checksum when all of it is read at once, as by a
// conversion. What is read in pieces is not compared.
//
// An empty chunk keeps a slow connection alive. It takes a number, but no place
// on the disk: all later chunks of the disk lie 1 MiB before what their number
// says.
//
// xapi takes the length of the first chunk of the whole archive for the size of
// all gaps. When the first disk is smaller than a chunk, no chunk of the others
// is left out when they are written.
//
// The host sorts disks by reference as text, so references are written with
// leading zeros where there are more than nine objects. UUIDs are made from the
// machine's name; the host makes new ones, and new MAC addresses, unless it is
// told to preserve them.
package xva
