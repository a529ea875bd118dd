package md

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// super is what both versions say, in bytes.
type super struct {
	version string
	uuid    string // four words, as mdadm prints them
	name    string
	minor   int // the N of /dev/mdN, or -1
	level   int
	layout  uint32 // of a RAID 0: 0 where it is not said
	chunk   int64
	members int
	size    int64 // used of each member
	dataOff int64 // on this member
	dataLen int64
	created uint64
	events  uint64
	resync  bool           // legs are being made equal
	role    int            // of this member; -1 is none
	active  map[int]bool   // roles that this superblock knows to be working
	numbers map[uint32]int // role of each device, by its number
	number  uint32
	filling bool   // not yet all of the member is good
	bad     bool   // the member has bad blocks
	doubt   bool   // it may be that of another device that ends in the same place
	reject  string // why the array cannot be read
}

// find looks for superblocks in all their places; of several the one that was made
// last counts. The error is [ondisk.ErrFormat] when there is none.
func find(dev blockdev.Device) (*super, error) {
	var best *super
	var first error
	size := dev.Size()
	for _, at := range []int64{0, 4096, (size/sector - 16) &^ 7 * sector} {
		s, err := read1(dev, at)
		if failing(err) {
			return nil, err
		}
		first = worse(first, err)
		if s != nil && (best == nil || s.created > best.created) {
			best = s
		}
	}
	s, err := read0(dev, size&^(reserved0-1)-reserved0)
	if failing(err) {
		return nil, err
	}
	first = worse(first, err)
	if s != nil && (best == nil || s.created > best.created) {
		best = s
	}
	if best == nil {
		return nil, first
	}
	return best, nil
}

// read1 reads a superblock of version 1.
func read1(dev blockdev.Device, at int64) (*super, error) {
	place := ondisk.At("md", "superblock", at)
	if !ondisk.InRange(at, super1Len, dev.Size()) {
		return nil, place.Format("there is no room")
	}
	p, err := ondisk.Bytes(dev, at, super1Len)
	if err != nil {
		return nil, place.Wrap(err)
	}
	var h super1
	if _, err := binary.Decode(p, le, &h); err != nil {
		return nil, place.Wrap(err)
	}
	if h.Magic != magic || h.Major != 1 || h.SuperOffset != uint64(at/sector) {
		return nil, place.Format("no superblock")
	}
	if h.MaxDevices == 0 || h.MaxDevices > maxDevices {
		return nil, place.In("number of roles").Corrupt("%d", h.MaxDevices)
	}
	roles, err := ondisk.Bytes(dev, at+super1Len, 2*int64(h.MaxDevices))
	if err != nil {
		return nil, place.Wrap(err)
	}
	if got := checksum(append(p, roles...), checksum1Off, le); got != h.Checksum {
		return nil, place.In("checksum").Corrupt("%#x, the bytes give %#x", h.Checksum, got)
	}
	return h.decode(roles, dev.Size(), place)
}

// decode is the superblock in terms of both versions.
func (h super1) decode(roles []byte, size int64, place ondisk.Place) (*super, error) {
	s := &super{
		version: h.version(), name: cstring(h.Name[:]), minor: -1, level: int(h.Level), layout: h.Layout,
		created: h.Created & (1<<40 - 1), events: h.Events, number: h.Number, role: -1,
		resync: h.ResyncOffset < h.Size, active: map[int]bool{}, numbers: map[uint32]int{},
		filling: h.Features&hasRecovery != 0 && h.RecoveryOffset < h.DataSize || h.Features&isReplacement != 0,
		bad:     h.Features&hasBadBlocks != 0, members: int(h.Members), chunk: int64(h.Chunk) * sector,
	}
	u := h.SetUUID
	s.uuid = fmt.Sprintf("%x:%x:%x:%x", u[:4], u[4:8], u[8:12], u[12:])
	if h.Level == levelStripe && h.Features&hasRAID0Layout == 0 {
		s.layout = 0
	}
	switch {
	case h.Features&^knownFeatures != 0:
		s.reject = fmt.Sprintf("unknown features %#x", h.Features&^knownFeatures)
	case h.Features&reshapeFeatures != 0:
		s.reject = "it is being reshaped"
	case h.Features&(hasJournal|hasPPL|hasPPLs) != 0:
		s.reject = "it has a journal"
	}
	const most = uint64(1) << 52 // sectors that still count in bytes
	if h.DataOffset > most || h.DataSize > most || h.Size > most || h.Members > maxDevices ||
		int64(h.DataOffset+h.DataSize)*sector > size {
		return nil, place.Corrupt("data %d+%d of %d sectors on a device of %d, %d members", h.DataOffset, h.DataSize, h.Size, size/sector, h.Members)
	}
	s.dataOff, s.dataLen, s.size = int64(h.DataOffset)*sector, int64(h.DataSize)*sector, int64(h.Size)*sector
	for i := range h.MaxDevices {
		role := int(le.Uint16(roles[2*i:]))
		if role >= firstNoRole || role >= s.members {
			role = -1
		}
		s.numbers[i] = role
		s.active[role] = true
	}
	if role, ok := s.numbers[h.Number]; ok {
		s.role = role
	}
	return s, nil
}

func (h super1) version() string {
	switch h.SuperOffset {
	case 0:
		return "1.1"
	case 8:
		return "1.2"
	}
	return "1.0"
}

// read0 reads a superblock 0.90 of either byte order.
func read0(dev blockdev.Device, at int64) (*super, error) {
	place := ondisk.At("md", "superblock 0.90", at)
	if at < 0 {
		return nil, place.Format("there is no room")
	}
	p, err := ondisk.Bytes(dev, at, super0Len)
	if err != nil {
		return nil, place.Wrap(err)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(p) != magic || order.Uint32(p[4:]) != 0 {
			continue
		}
		var h super0
		if _, err := binary.Decode(p, order, &h); err != nil {
			return nil, place.Wrap(err)
		}
		if got := checksum(p, checksum0Off, order); got != h.Checksum {
			return nil, place.In("checksum").Corrupt("%#x, the bytes give %#x", h.Checksum, got)
		}
		if order == binary.BigEndian {
			h.Events[0], h.Events[1] = h.Events[1], h.Events[0]
		}
		return h.decode(at, place)
	}
	return nil, place.Format("no superblock")
}

// decode is the superblock in terms of both versions; at is where it lies, which is
// where the data ends.
func (h super0) decode(at int64, place ondisk.Place) (*super, error) {
	s := &super{
		version: "0.90", minor: int(h.Preferred), level: int(h.Level), layout: h.Layout, chunk: int64(h.Chunk),
		members: int(h.Members), size: int64(h.Size) * 1024, dataLen: at, created: uint64(h.Created),
		events: uint64(h.Events[1])<<32 | uint64(h.Events[0]), number: h.This.Number, role: -1,
		active: map[int]bool{}, numbers: map[uint32]int{},
	}
	s.uuid = fmt.Sprintf("%08x:%08x:%08x:%08x", h.UUID0, h.UUID1, h.UUID2, h.UUID3)
	s.resync = h.Level > 0 && h.State&1 == 0
	switch {
	case h.Members > disks0 || h.Preferred > 1<<20:
		return nil, place.Corrupt("%d members of md%d", h.Members, h.Preferred)
	case h.Level > 0 && s.size > at:
		return nil, place.In("size").Corrupt("%d bytes of each member, of which this has %d", s.size, at)
	case h.Minor != 90:
		s.reject = "it is being reshaped"
	}
	// The end of a disk and that of its last partition may be the same place. What
	// is used of a member ends where the superblock is, but for rounding.
	s.doubt = h.Level <= 0 || at-s.size >= max(reserved0, min(s.chunk, 1<<20-1))
	if h.Level == levelStripe {
		s.layout = 0
	}
	for _, d := range h.Disks {
		role := int(d.Role)
		if d.State&(stateFaulty|stateRemoved) != 0 || d.State&(stateActive|stateSync) != stateActive|stateSync || role >= s.members {
			continue
		}
		s.numbers[d.Number], s.active[role] = role, true
	}
	if role, ok := s.numbers[h.This.Number]; ok && role == int(h.This.Role) {
		s.role = role
	}
	return s, nil
}

// checksum is the sum of all words but the checksum's own, folded to 32 bits. An
// odd role at the end counts as a word.
func checksum(p []byte, skip int, order binary.ByteOrder) uint32 {
	var sum uint64
	for i := 0; i < len(p); i += 4 {
		switch {
		case i == skip:
		case len(p)-i >= 4:
			sum += uint64(order.Uint32(p[i:]))
		default:
			sum += uint64(order.Uint16(p[i:]))
		}
	}
	return uint32(sum) + uint32(sum>>32)
}

func cstring(p []byte) string {
	s, _, _ := strings.Cut(string(p), "\x00")
	return s
}
