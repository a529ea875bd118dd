package iso9660

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// layer names this package in errors, and the filesystem.
const layer = "iso9660"

const (
	sector      = 2048
	firstSector = 16 // of the volume descriptors
	identifier  = "CD001"

	primary       = 1
	supplementary = 2
	terminator    = 255

	flagDir        = 0x02
	flagAssociated = 0x04
	flagMore       = 0x80 // another record of the same file follows

	recordSize = 33 // without the name
)

var le = binary.LittleEndian

// both is a number in both byte orders; the little one counts.
type both32 struct{ Value, _ uint32 }

type both16 struct{ Value, _ uint16 }

// descriptor is what primary and supplementary volume descriptors share
// (ECMA-119, 8.4 and 8.5).
type descriptor struct {
	Type       uint8                // 0
	Identifier [5]byte              // 1
	Version    uint8                // 6
	Flags      uint8                // 7
	System     [32]byte             // 8
	Label      [32]byte             // 40
	_          [8]byte              // 72
	Blocks     both32               // 80
	Escape     [32]byte             // 88
	_          [8]byte              // 120
	BlockSize  both16               // 128
	_          [24]byte             // 132, path tables
	Root       [recordSize + 1]byte // 156
	_          [623]byte            // 190, names of people and files
	Created    [17]byte             // 813
	Modified   [17]byte             // 830
	_          [1201]byte           // 847
}

// record is a directory record up to its name (ECMA-119, 9.1).
type record struct {
	Length     uint8   // 0
	Attributes uint8   // 1, blocks before the content
	Block      uint32  // 2
	Size       uint32  // 10
	Time       [7]byte // 18
	Flags      uint8   // 25
	Unit, Gap  uint8   // 26, 27, of interleaved files
	NameLen    uint8   // 32
}

func decodeRecord(p []byte) record {
	_ = p[recordSize-1]
	return record{
		Length: p[0], Attributes: p[1], Block: le.Uint32(p[2:]), Size: le.Uint32(p[10:]), Time: [7]byte(p[18:]),
		Flags: p[25], Unit: p[26], Gap: p[27], NameLen: p[32],
	}
}

// start is the first block of the content.
func (r record) start() int64 { return int64(r.Block) + int64(r.Attributes) }

func recordAt(off int64) ondisk.Place { return ondisk.At(layer, "directory record", off) }

// shortTime is the time of a record (ECMA-119, 9.1.5).
func shortTime(p [7]byte) time.Time {
	return date(int(p[0])+1900, int(p[1]), int(p[2]), int(p[3]), int(p[4]), int(p[5]), 0, int8(p[6]))
}

// longTime is a time in digits (ECMA-119, 8.4.26.1); zero when there is none.
func longTime(p [17]byte) time.Time {
	var n [7]int
	at := 0
	for k, digits := range [...]int{4, 2, 2, 2, 2, 2, 2} {
		for range digits {
			c := p[at]
			at++
			if c < '0' || c > '9' {
				return time.Time{}
			}
			n[k] = n[k]*10 + int(c-'0')
		}
	}
	return date(n[0], n[1], n[2], n[3], n[4], n[5], n[6], int8(p[16]))
}

// date gives the zero time for what is not one. zone is in quarters of an hour.
func date(year, month, day, hour, minute, second, hundredth int, zone int8) time.Time {
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return time.Time{}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, hundredth*1e7, time.UTC)
	return t.Add(-time.Duration(zone) * 15 * time.Minute)
}

// uuid is what blkid(8) calls so: the time of the last change.
func (d *descriptor) uuid() string {
	p := d.Modified
	if strings.Trim(string(p[:16]), "0\x00 ") == "" {
		p = d.Created
	}
	if longTime(p).IsZero() {
		return ""
	}
	s := string(p[:16])
	return strings.Join([]string{s[:4], s[4:6], s[6:8], s[8:10], s[10:12], s[12:14], s[14:16]}, "-")
}

func (d *descriptor) label() string { return strings.TrimRight(string(d.Label[:]), " \x00") }

// joliet reports whether a supplementary descriptor is one of Joliet.
func (d *descriptor) joliet() bool {
	switch string(d.Escape[:3]) {
	case "%/@", "%/C", "%/E":
		return d.Type == supplementary
	}
	return false
}
