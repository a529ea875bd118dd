package luks

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// read1 reads the header of LUKS1, which has no checksum.
func read1(dev blockdev.Device) (*container, error) {
	h, err := ondisk.Read[header1](dev, 0, be)
	if err != nil {
		return nil, err
	}
	c := &container{version: 1, uuid: cleanUUID(cstring(h.UUID[:]))}
	cipher, hash := cstring(h.Cipher[:])+"-"+cstring(h.Mode[:]), cstring(h.Hash[:])
	c.data = segment{off: int64(h.DataOffset) * sector, size: wholeRest, cipher: cipher, sector: sector}
	keyLen := int(min(h.KeyBytes, maxKeyLen+1))
	d := digest{kdf: kdf{kind: pbkdf2Kind, hash: hash, salt: h.DigestSalt[:], rounds: int64(h.DigestIter)}, want: h.Digest[:]}
	for i, k := range h.Slots {
		if k.Active != slotOn {
			continue
		}
		c.slots = append(c.slots, slot{
			name: fmt.Sprintf("keyslot %d", i), cipher: cipher, areaKey: keyLen, keyLen: keyLen, hash: hash, digest: d,
			kdf: kdf{kind: pbkdf2Kind, hash: hash, salt: k.Salt[:], rounds: int64(k.Iter)},
			off: int64(k.Offset) * sector, stripes: int(min(k.Stripes, maxAreaLen+1)),
		})
	}
	c.check(dev.Size())
	return c, nil
}
