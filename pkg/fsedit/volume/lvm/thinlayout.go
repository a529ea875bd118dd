package lvm

import (
	"hash/crc32"
)

// The metadata of a thin pool: blocks of 4 KiB, as dm-thin-metadata.c and
// dm-btree-internal.h declare them.
const (
	thinBlock      = 4096
	thinMagic      = 27022010
	thinNeedsCheck = 1 // flag: the kernel has seen damage

	superSalt = 160774
	nodeSalt  = 121107

	nodeInternal = 1
	nodeLeaf     = 2
	nodeHeadLen  = 32

	maxThinDepth = 12 // of a tree of 2^64 keys with more than 100 a node: 10
)

// thinSuper is block 0.
type thinSuper struct {
	CRC            uint32    // 0
	Flags          uint32    // 4
	Block          uint64    // 8
	UUID           [16]byte  // 16
	Magic          uint64    // 32
	Version        uint32    // 40
	Time           uint32    // 44
	Transaction    uint64    // 48
	HeldRoot       uint64    // 56
	DataMap        [128]byte // 64
	MetaMap        [128]byte // 192
	MappingRoot    uint64    // 320
	DetailsRoot    uint64    // 328
	DataBlock      uint32    // 336: sectors
	MetadataBlock  uint32    // 340: sectors
	MetadataBlocks uint64    // 344
}

// thinNode begins each node of a tree; keys and then values follow, with room for
// MaxEntries of each.
type thinNode struct {
	CRC        uint32 // 0
	Flags      uint32 // 4
	Block      uint64 // 8: its own
	Entries    uint32 // 16
	MaxEntries uint32 // 20
	ValueSize  uint32 // 24
	Padding    uint32 // 28
}

func decodeNode(p []byte) thinNode {
	return thinNode{CRC: le.Uint32(p), Flags: le.Uint32(p[4:]), Block: le.Uint64(p[8:]), Entries: le.Uint32(p[16:]),
		MaxEntries: le.Uint32(p[20:]), ValueSize: le.Uint32(p[24:]), Padding: le.Uint32(p[28:])}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// thinCRC is the checksum of a block of a kind: CRC-32C behind the field itself,
// not inverted at the end, and salted.
func thinCRC(p []byte, salt uint32) uint32 {
	return ^crc32.Update(0, castagnoli, p[4:thinBlock]) ^ salt
}
