package mbr

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	sectorLen  = 512 // of the structure, whatever the disk's sectors are
	diskIDOff  = 440
	entriesOff = 446
	entryLen   = 16
	signOff    = 510
	slots      = 4
)

// Partition types that mean something here.
const (
	typeEmpty      = 0x00
	typeExtended   = 0x05
	typeExtLBA     = 0x0f
	typeExtLinux   = 0x85
	typeProtective = 0xee
)

// entry is one slot of a table.
type entry struct {
	Status   uint8    // 0: 00 or 80 (active)
	FirstCHS [3]uint8 // 1
	Type     uint8    // 4
	LastCHS  [3]uint8 // 5
	Start    uint32   // 8, sectors
	Sectors  uint32   // 12
}

func (e entry) empty() bool { return e.Type == typeEmpty || e.Sectors == 0 }

func (e entry) extended() bool {
	return e.Type == typeExtended || e.Type == typeExtLBA || e.Type == typeExtLinux
}

// sector is the part of an MBR or EBR that matters.
type sector struct {
	diskID  uint32
	entries [slots]entry
}

// decode takes a sector apart; false when it does not end in 55 aa or when a slot
// has an impossible status.
func decode(p []byte) (sector, bool) {
	var s sector
	if len(p) < sectorLen || p[signOff] != 0x55 || p[signOff+1] != 0xaa {
		return s, false
	}
	s.diskID = binary.LittleEndian.Uint32(p[diskIDOff:])
	for i := range s.entries {
		s.entries[i] = decodeEntry(p[entriesOff+i*entryLen:])
		if s.entries[i].Status&0x7f != 0 {
			return s, false
		}
	}
	return s, true
}

func decodeEntry(p []byte) entry {
	return entry{
		Status: p[0], FirstCHS: [3]uint8(p[1:4]), Type: p[4], LastCHS: [3]uint8(p[5:8]),
		Start: binary.LittleEndian.Uint32(p[8:]), Sectors: binary.LittleEndian.Uint32(p[12:]),
	}
}

// protective reports whether the table only guards a GPT.
func (s sector) protective() bool {
	for _, e := range s.entries {
		if e.Type == typeProtective {
			return true
		}
	}
	return false
}

// sane reports whether there are entries, all inside size bytes, none overlapping.
func (s sector) sane(sectorSize, size int64) bool {
	any := false
	for i, e := range s.entries {
		if e.empty() {
			continue
		}
		any = true
		off, n := int64(e.Start)*sectorSize, int64(e.Sectors)*sectorSize
		if e.Start == 0 || !ondisk.InRange(off, n, size) {
			return false
		}
		for _, o := range s.entries[:i] {
			if !o.empty() && e.overlaps(o) {
				return false
			}
		}
	}
	return any
}

func (e entry) overlaps(o entry) bool {
	return int64(e.Start) < int64(o.Start)+int64(o.Sectors) && int64(o.Start) < int64(e.Start)+int64(e.Sectors)
}
