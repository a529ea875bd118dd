package luks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// container is what both versions say, in bytes.
type container struct {
	version int
	uuid    string
	label   string
	slots   []slot // in the order in which they are tried
	data    segment
	notes   []string // what was tolerated
	// reject is why it is not opened, whatever the key; found so late that its name
	// is known.
	reject error
}

// slot keeps the volume key under a passphrase.
type slot struct {
	name    string // "keyslot 0"
	kdf     kdf
	cipher  string // of the material: "aes-xts-plain64"
	areaKey int    // bytes of the key for the material
	off     int64  // of the material on the device
	keyLen  int    // of the volume key
	stripes int
	hash    string // that spreads the stripes
	digest  digest
	bad     error // why it cannot be used
}

// digest tells the right volume key.
type digest struct {
	kdf  kdf
	want []byte
}

// segment is where the data lies, and how it is encrypted.
type segment struct {
	off, size int64
	cipher    string
	sector    int    // bytes that are encrypted as one
	tweak     uint64 // what the first sector's number is
}

// find reads the header of dev; of LUKS2 the newer of the good ones. The error is
// [ondisk.ErrFormat] when there is none. doubt is a header that only a copy of it
// has survived of.
func find(dev blockdev.Device) (c *container, doubt bool, err error) {
	var head [8]byte
	if dev.Size() < header2Len {
		return nil, false, ondisk.At("LUKS", "header", 0).Format("there is no room")
	}
	if err := ondisk.Full(dev, head[:], 0); err != nil {
		return nil, false, err
	}
	first := string(head[:6]) == magicFirst
	switch version := be.Uint16(head[6:]); {
	case first && version == 1:
		c, err = read1(dev)
		return c, false, err
	case first && version != 2:
		return nil, false, ondisk.At("LUKS", "header", 0).In("version").Unsupported("%d", version)
	}
	if !first {
		if err := damaged(dev); err != nil {
			return nil, false, err
		}
	}
	if c, err = read2(dev); err != nil {
		return nil, false, err
	}
	return c, !first, nil
}

// damaged refuses to look for a second header of LUKS2 where something else has
// taken the place of the first one: that has to be wiped, or be one but for its
// signature.
func damaged(dev blockdev.Device) error {
	p, err := ondisk.Bytes(dev, 0, header2Len)
	if err != nil {
		return err
	}
	var h header2
	if _, err := binary.Decode(p, be, &h); err != nil {
		return err
	}
	if ondisk.IsZero(p) || h.Version == 2 && h.Offset == 0 && slices.Contains(sizes2, int64(h.Size)) {
		return nil
	}
	return ondisk.At("LUKS", "header", 0).Format("no signature")
}

// check refuses what does not lie on dev, before anything is computed from it.
func (c *container) check(size int64) {
	d := &c.data
	place := ondisk.At(c.name(), "header", 0)
	switch {
	case c.reject != nil:
	case d.off == 0:
		c.reject = place.Unsupported("the header belongs to data on another device (detached)")
	case d.sector < sector || d.sector > 4096 || d.sector&(d.sector-1) != 0:
		c.reject = place.In("sector size").Corrupt("%d", d.sector)
	case d.size == wholeRest && ondisk.InRange(d.off, 0, size):
		d.size = ondisk.AlignDown(size-d.off, int64(d.sector))
	case !ondisk.InRange(d.off, d.size, size):
		c.reject = place.In("data").Corrupt("%d bytes at %d end beyond the device of %d", d.size, d.off, size)
	case d.size%int64(d.sector) != 0:
		c.reject = place.In("data").Corrupt("%d bytes are no whole sectors of %d", d.size, d.sector)
	}
	for i := range c.slots {
		s := &c.slots[i]
		if s.bad == nil {
			s.bad = s.check(size)
		}
	}
}

// wholeRest is the size of data that goes on to the end of the device.
const wholeRest = -1

func (s *slot) check(size int64) error {
	switch {
	case s.keyLen < 1 || s.keyLen > maxKeyLen || s.areaKey < 1 || s.areaKey > maxKeyLen:
		return ondisk.Because(ondisk.ErrUnsupported, "keys of %d and %d bytes", s.keyLen, s.areaKey)
	case s.stripes < 1 || s.stripes > maxAreaLen/s.keyLen:
		return ondisk.Because(ondisk.ErrCorrupt, "%d stripes", s.stripes)
	case s.off <= 0 || !ondisk.InRange(s.off, s.areaLen(), size):
		return ondisk.Because(ondisk.ErrCorrupt, "material of %d bytes at %d ends beyond the device of %d", s.areaLen(), s.off, size)
	}
	return nil
}

// areaLen is the length of a slot's material, which is encrypted in sectors.
func (s *slot) areaLen() int64 {
	return ondisk.AlignUp(int64(s.keyLen)*int64(s.stripes), sector)
}

func (c *container) name() string {
	if c.version == 1 {
		return "LUKS1"
	}
	return "LUKS2"
}

// cstring is text that ends at a NUL or with its field.
func cstring(p []byte) string {
	p, _, _ = bytes.Cut(p, []byte{0})
	return string(p)
}

// cleanUUID is a UUID that is fit for a name; empty when it is not.
func cleanUUID(s string) string {
	s = strings.ToLower(s)
	if len(s) < 8 || strings.Trim(s, "0123456789abcdef-") != "" {
		return ""
	}
	return s
}

// failing tells a device that cannot be read from one that cannot be believed.
func failing(err error) bool {
	for _, s := range []error{ondisk.ErrFormat, ondisk.ErrCorrupt, ondisk.ErrUnsupported, ondisk.ErrTooBig, ondisk.ErrEncrypted} {
		if errors.Is(err, s) {
			return false
		}
	}
	return err != nil
}
