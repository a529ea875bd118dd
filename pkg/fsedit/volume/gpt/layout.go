package gpt

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

const (
	signature    = "EFI PART"
	revision     = 0x00010000
	headerLen    = 92
	minEntryLen  = 128
	maxEntryLen  = 4096
	maxTableLen  = 4 << 20 // bytes of all entries, as in Linux
	headerCRCOff = 16
)

// header is the GPT header, in disk order.
type header struct {
	Signature    [8]byte // 0
	Revision     uint32  // 8
	HeaderLen    uint32  // 12
	HeaderCRC    uint32  // 16
	Reserved     uint32  // 20
	MyLBA        uint64  // 24
	AlternateLBA uint64  // 32
	FirstUsable  uint64  // 40
	LastUsable   uint64  // 48
	DiskGUID     guid    // 56
	EntriesLBA   uint64  // 72
	Entries      uint32  // 80
	EntryLen     uint32  // 84
	EntriesCRC   uint32  // 88
}

// entry is the part of a partition entry that all lengths have.
type entry struct {
	Type     guid       // 0
	Unique   guid       // 16
	FirstLBA uint64     // 32
	LastLBA  uint64     // 40, inclusive
	Flags    uint64     // 48
	Name     [36]uint16 // 56
}

// flagBoot is the attribute "legacy BIOS bootable".
const flagBoot = 1 << 2

func decodeEntry(p []byte) entry {
	e := entry{
		Type: guid(p[0:16]), Unique: guid(p[16:32]),
		FirstLBA: binary.LittleEndian.Uint64(p[32:]),
		LastLBA:  binary.LittleEndian.Uint64(p[40:]),
		Flags:    binary.LittleEndian.Uint64(p[48:]),
	}
	for i := range e.Name {
		e.Name[i] = binary.LittleEndian.Uint16(p[56+2*i:])
	}
	return e
}

func (e entry) name() string {
	u := e.Name[:]
	for i, c := range u {
		if c == 0 {
			u = u[:i]
			break
		}
	}
	return string(utf16.Decode(u))
}

// guid is a GUID as it lies on the disk.
type guid [16]byte

func (g guid) zero() bool { return g == guid{} }

// String is the lower-case text form.
func (g guid) String() string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(g[0:]), le.Uint16(g[4:]), le.Uint16(g[6:]), g[8:10], g[10:16])
}
