package vdi

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// uuid is stored with its first three fields little-endian.
type uuid [16]byte

func (u uuid) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(u[:]),
		binary.LittleEndian.Uint16(u[4:]), binary.LittleEndian.Uint16(u[6:]), u[8:10], u[10:])
}

// random makes 16 bytes a UUID of version 4 (RFC 9562, 5.4).
func random(p []byte) uuid {
	u := uuid(p)
	u[7] = u[7]&0x0f | 0x40 // the high byte of the third field
	u[8] = u[8]&0x3f | 0x80
	return u
}

// identities are the UUIDs of a new image and of its first state. Without a
// source of randomness they follow from the disk's size.
func identities(rand io.Reader, size int64) (image, modification uuid, err error) {
	raw := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("vdi"), uint64(size)))
	if rand != nil {
		if _, err := io.ReadFull(rand, raw[:]); err != nil {
			return uuid{}, uuid{}, ondisk.At(layer, "header", 0).In("UUID").Wrap(err)
		}
	}
	return random(raw[:16]), random(raw[16:]), nil
}

// next is the UUID of a state that follows this one.
func (u uuid) next() uuid {
	sum := sha256.Sum256(u[:])
	return random(sum[:16])
}
