package lvm

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	sector       = 512
	labelSectors = 4 // a label lies in one of the first sectors
	labelID      = "LABELONE"
	labelType    = "LVM2 001"
	labelCRCFrom = 20 // the checksum of a label covers its sector from here
	mdaMagic     = " LVM2 x[5A%r0N*>"
	mdaVersion   = 1
	mdaHeaderLen = 512
	mdaCRCFrom   = 4
	idLen        = 32
)

// label is the head of the sector that makes a device a physical volume.
type label struct {
	ID     [8]byte // 0
	Sector uint64  // 8: its own
	CRC    uint32  // 16
	Offset uint32  // 20: of the pvHeader in the sector
	Type   [8]byte // 24
}

// pvHeader follows the label. After it come the data areas and the metadata
// areas, each a list of [area] that ends with one that is zero.
type pvHeader struct {
	UUID [idLen]byte // 0
	Size uint64      // 32: bytes of the device
}

// area is a run of bytes of the device; size 0 is all that follows.
type area struct {
	Off  uint64 // 0
	Size uint64 // 8
}

// mdaHeader begins a metadata area. The text lies in the ring behind it.
type mdaHeader struct {
	CRC     uint32     // 0: from byte 4 to the end of the header
	Magic   [16]byte   // 4
	Version uint32     // 20
	Start   uint64     // 24: byte of the device where this header is
	Size    uint64     // 32: of the area, this header included
	Locs    [4]rawLocn // 40: the committed text, and one that is being written
}

// rawLocn is where a text lies in the ring.
type rawLocn struct {
	Off   uint64 // 0: from the header
	Size  uint64 // 8
	CRC   uint32 // 16
	Flags uint32 // 20
}

// locnIgnored says that the area is not in use, by choice of the administrator.
const locnIgnored = 1

// crc is the checksum of labels, headers and texts: CRC-32 with a seed of its own
// and without the final inversion.
func crc(p []byte) uint32 {
	const seed = 0xf597a6cf
	return ^crc32.Update(^uint32(seed), crc32.IEEETable, p)
}

var le = binary.LittleEndian
