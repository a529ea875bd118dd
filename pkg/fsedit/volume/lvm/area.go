package lvm

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// readText is the committed text of one metadata area; nil when the area is empty
// or not in use.
func (pv physical) readText(a area, limit int64) ([]byte, error) {
	size := pv.dev.Size()
	place := ondisk.At("lvm", "metadata area", int64(min(a.Off, 1<<62)))
	if a.Off > uint64(size) || !ondisk.InRange(int64(a.Off), mdaHeaderLen, size) {
		return nil, place.Corrupt("lies beyond the device of %d bytes", size)
	}
	p, err := ondisk.Bytes(pv.dev, int64(a.Off), mdaHeaderLen)
	if err != nil {
		return nil, place.Wrap(err)
	}
	var h mdaHeader
	if _, err := binary.Decode(p, le, &h); err != nil {
		return nil, place.Wrap(err)
	}
	if err := h.check(p, a, size, place); err != nil {
		return nil, err
	}
	loc := h.Locs[0]
	if loc.Off == 0 || loc.Size == 0 || loc.Flags&locnIgnored != 0 {
		return nil, nil
	}
	return pv.readRing(h, loc, limit, place)
}

func (h mdaHeader) check(p []byte, a area, size int64, place ondisk.Place) error {
	if string(h.Magic[:]) != mdaMagic {
		return place.In("magic").Corrupt("%q", h.Magic)
	}
	if got := crc(p[mdaCRCFrom:]); got != h.CRC {
		return place.In("checksum").Corrupt("%#x, the bytes give %#x", h.CRC, got)
	}
	if h.Version != mdaVersion {
		return place.In("version").Unsupported("%d", h.Version)
	}
	if h.Start != a.Off {
		return place.In("start").Corrupt("%d", h.Start)
	}
	if h.Size <= mdaHeaderLen || h.Size > uint64(size)-a.Off {
		return place.In("size").Corrupt("%d on a device of %d bytes", h.Size, size)
	}
	return nil
}

// readRing reads a text from the ring, which wraps to the end of the header.
func (pv physical) readRing(h mdaHeader, loc rawLocn, limit int64, place ondisk.Place) ([]byte, error) {
	if loc.Off < mdaHeaderLen || loc.Off >= h.Size || loc.Size > h.Size-mdaHeaderLen {
		return nil, place.In("place of the text").Corrupt("%d+%d in an area of %d bytes", loc.Off, loc.Size, h.Size)
	}
	if loc.Size > uint64(limit) {
		return nil, place.In("size of the text").TooBig("%d bytes, more than %d", loc.Size, limit)
	}
	first := min(loc.Size, h.Size-loc.Off)
	text, err := ondisk.Bytes(pv.dev, int64(h.Start+loc.Off), int64(first))
	if err != nil {
		return nil, place.Wrap(err)
	}
	rest, err := ondisk.Bytes(pv.dev, int64(h.Start+mdaHeaderLen), int64(loc.Size-first))
	if err != nil {
		return nil, place.Wrap(err)
	}
	text = append(text, rest...)
	if got := crc(text); got != loc.CRC {
		return nil, place.In("checksum of the text").Corrupt("%#x, the bytes give %#x", loc.CRC, got)
	}
	return text, nil
}
