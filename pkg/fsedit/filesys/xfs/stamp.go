package xfs

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// stamp says where a structure of version 5 describes itself ("Self Describing
// Metadata" of the kernel's documentation). An offset of 0 is a field that it
// does not have.
type stamp struct {
	crc, lsn, uuid, blkno, owner int
	ownerLen                     int // 4 or 8 bytes
}

var (
	superStamp  = stamp{crc: sbCRC, lsn: sbLSN}
	agfStamp    = stamp{crc: 216, lsn: 208, uuid: 64}
	agiStamp    = stamp{crc: 312, lsn: 320, uuid: 296}
	agflStamp   = stamp{crc: 32, lsn: 24, uuid: 8}
	shortStamp  = stamp{crc: 52, lsn: 24, uuid: 32, blkno: 16, owner: 48, ownerLen: 4}
	longStamp   = stamp{crc: 64, lsn: 32, uuid: 40, blkno: 24, owner: 56, ownerLen: 8}
	dirStamp    = stamp{crc: 4, lsn: 16, uuid: 24, blkno: 8, owner: 40, ownerLen: 8}
	daStamp     = stamp{crc: 12, lsn: 24, uuid: 32, blkno: 16, owner: 48, ownerLen: 8}
	remoteStamp = stamp{crc: 12, lsn: 48, uuid: 16, blkno: 40, owner: 32, ownerLen: 8}
	inodeStamp  = stamp{crc: inCRC, lsn: inLSN, uuid: inUUID, owner: inIno, ownerLen: 8}
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the CRC-32C of p with the four bytes at off taken for zero.
func sum(p []byte, off int) uint32 {
	var zero [4]byte
	c := crc32.Update(0, castagnoli, p[:off])
	c = crc32.Update(c, castagnoli, zero[:])
	return crc32.Update(c, castagnoli, p[off+4:])
}

// seal stores the checksum of a structure.
func (s stamp) seal(p []byte) { le.PutUint32(p[s.crc:], sum(p, s.crc)) }

// verify checks that p is whole and lies where it was written, off on the
// device, for owner. It is for version 5 only.
func (s stamp) verify(p []byte, uuid [16]byte, off int64, owner uint64, at ondisk.Place) error {
	if got, want := le.Uint32(p[s.crc:]), sum(p, s.crc); got != want {
		return at.In("checksum").Corrupt("%#08x, computed %#08x", got, want)
	}
	if s.uuid != 0 && !bytes.Equal(p[s.uuid:][:16], uuid[:]) {
		return at.In("uuid").Corrupt("it belongs to another filesystem")
	}
	if s.blkno != 0 {
		if got := be.Uint64(p[s.blkno:]); got != uint64(off)>>daddrBits {
			return at.In("block number").Corrupt("it was written for byte %#x", got<<daddrBits)
		}
	}
	if s.owner != 0 {
		if got := s.ownerOf(p); got != owner {
			return at.In("owner").Corrupt("%d, not %d", got, owner)
		}
	}
	return nil
}

func (s stamp) ownerOf(p []byte) uint64 {
	if s.ownerLen == 4 {
		return uint64(be.Uint32(p[s.owner:]))
	}
	return be.Uint64(p[s.owner:])
}

// stampOf recognises a structure of version 5 by its magic number; for a
// directory block and the like p is the whole of it.
func stampOf(p []byte) (stamp, bool) {
	if len(p) < minSector {
		return stamp{}, false
	}
	switch be.Uint32(p) {
	case superMagic:
		return superStamp, true
	case agfMagic:
		return agfStamp, true
	case agiMagic:
		return agiStamp, true
	case agflMagic:
		return agflStamp, true
	case bnobtMagic5, cntbtMagic5, inobtMagic5, finobtMagic5, rmapMagic5, refcMagic5:
		return shortStamp, true
	case bmbtMagic5:
		return longStamp, true
	case dirBlockMagic5, dirDataMagic5, dirFreeMagic5:
		return dirStamp, true
	case symlinkMagic, remoteAttrMagic:
		return remoteStamp, true
	}
	switch be.Uint16(p[daMagicAt:]) {
	case leaf1Magic5, leafNMagic5, daNodeMagic5, attrLeafMagic5:
		return daStamp, true
	}
	return stamp{}, false
}

// decode reads a fixed structure from the start of p, which is long enough.
func decode[T any](p []byte) (T, error) {
	var v T
	_, err := binary.Decode(p, be, &v)
	return v, err
}
