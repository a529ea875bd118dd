package lvm

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// physical is a device with a label.
type physical struct {
	dev   blockdev.Device
	index int    // in what Map was given
	id    string // 32 characters
	mdas  []area
}

// readLabel finds the label of dev. The error is [ondisk.ErrFormat] without one,
// and that of the damaged one where there is no good one.
func readLabel(dev blockdev.Device) (physical, error) {
	n := min(dev.Size()/sector, labelSectors)
	p := make([]byte, n*sector)
	if err := ondisk.Full(dev, p, 0); err != nil {
		return physical{}, err
	}
	var first error
	for i := range n {
		s := p[i*sector:][:sector]
		if string(s[:len(labelID)]) != labelID {
			continue
		}
		pv, err := parseLabel(s, i)
		if err == nil {
			pv.dev = dev
			return pv, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = ondisk.At("lvm", "label", 0).Format("no signature in the first sectors")
	}
	return physical{}, first
}

// parseLabel takes sector number i apart.
func parseLabel(s []byte, i int64) (physical, error) {
	place := ondisk.At("lvm", "label", i*sector)
	var l label
	if _, err := binary.Decode(s, le, &l); err != nil {
		return physical{}, place.Wrap(err)
	}
	if got := crc(s[labelCRCFrom:]); got != l.CRC {
		return physical{}, place.In("checksum").Corrupt("%#x, the bytes give %#x", l.CRC, got)
	}
	if l.Sector != uint64(i) {
		return physical{}, place.In("own sector").Corrupt("%d in sector %d", l.Sector, i)
	}
	if string(l.Type[:]) != labelType {
		return physical{}, place.In("type").Unsupported("%q", l.Type)
	}
	if l.Offset < uint32(binary.Size(l)) || l.Offset > sector {
		return physical{}, place.In("offset of the header").Corrupt("%d", l.Offset)
	}
	c := ondisk.NewCursor(s[l.Offset:], le)
	pv := physical{id: string(c.Bytes(idLen))}
	c.U64() // the size that the device had
	areas(c)
	pv.mdas = areas(c)
	return pv, place.Wrap(c.Err())
}

// areas reads a list of areas; the sector bounds it.
func areas(c *ondisk.Cursor) []area {
	var out []area
	for {
		a := area{Off: c.U64(), Size: c.U64()}
		if c.Err() != nil || a.Off == 0 {
			return out
		}
		out = append(out, a)
	}
}
