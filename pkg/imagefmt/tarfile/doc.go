// Package tarfile finds the members of a tar archive without unpacking it, and
// writes archives whose members are streamed. Virtual appliances (OVA) and the
// exports of XenServer (XVA) are such archives.
//
// # What
//
// A member's bytes lie in one piece, so a disk image inside an archive is a
// section of a file: [Index] notes where each begins, [Archive.Open] is an
// imagefmt.Source over it that passes holes and places on the host through.
// Nothing is ever extracted, so a member's name is a key and never a path of
// this host; the links of an archive are ignored.
//
// # Layout
//
// As in POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and the GNU tar manual, "Basic
// Tar Format":
//
//	0       header of member 1     512 bytes; name at 0, size at 124, sum at 148
//	512     data of member 1       size bytes, zeros up to a multiple of 512
//	        extended header        pax or GNU: longer names, larger sizes
//	        header of member 2
//	        data of member 2
//	        …
//	end     two blocks of zeros    and more, in what GNU tar writes
//
// # Support
//
//	                             read     write
//	V7, ustar                    yes      ustar, names up to 100 bytes
//	sizes from 8 GiB, GNU        yes      yes
//	sizes and names, pax         yes      no
//	long names, GNU              yes      no
//	sparse members               refused  no
//	folders, links, devices      ignored  no
//	compressed archives          no       no
//	pipes                        no       yes, when sizes are known
//
// # Limits
//
// [Walk] and [Index] read headers only. An archive has at most Limits.Entries
// members, a name at most 4096 bytes, and an index at most Limits.Table.
//
// # Quirks
//
// "./name" and "name" are the same member. Two members of one name are refused:
// tar would take the last, others the first. What follows the end of an archive
// is not looked at; an archive that ends without its two blocks of zeros, behind
// a whole member, is complete.
package tarfile
