// Package raw is the format without a format: the bytes of the disk, as they
// are, in a file or a block device.
//
// # What
//
// Everything can be a raw image, so [Format.Probe] never says more than Maybe;
// any format that recognises its own magic wins. The guest writes all bytes of
// a raw image, and may write another format's header there: who knows that an
// image is raw says so, and does not probe.
//
// # Layout
//
//	byte 0                                            Size()
//	+--------+··········+------------------+···········+
//	|  data  |   hole   |       data       |   hole    |
//	+--------+··········+------------------+···········+
//	guest offset = file offset; a hole reads as zeros
//
// # Support
//
//	read            any size, odd ones too     yes
//	                holes                      yes, as far as the host tells
//	                place of data on the host  yes
//	write           sparse file                yes, zeros of 4 KiB become holes
//	                block device, used file    yes, zeros are written
//	                pipe                       yes, zeros are written
//	update in place                            yes, of constant size
//	options                                    none
//
// # Limits
//
// The size is that of the file, up to ondisk.Limits.VirtualSize. An update does
// not change it. A block device that is larger than the disk written to it keeps
// its old bytes behind the disk's end.
//
// # Quirks
//
// A fixed VHD is a raw image with a footer, and is recognised by that in its own
// package; opened as raw, by force, the footer is part of the disk.
package raw
