package qcow2

import (
	"bytes"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// parseNames decodes what follows the fixed header in the first cluster: the
// extensions, and the name of the backing file.
func (h *header) parseNames(first []byte) error {
	at := ondisk.At(layer, "header", 0)
	end := uint64(len(first))
	if h.BackingOffset != 0 && h.BackingSize != 0 {
		if h.BackingSize > maxBackingName || h.BackingOffset > end || uint64(h.BackingSize) > end-h.BackingOffset {
			return at.In("backing_file").Corrupt("name of %d bytes at %#x does not fit", h.BackingSize, h.BackingOffset)
		}
		h.backingName = string(first[h.BackingOffset : h.BackingOffset+uint64(h.BackingSize)])
		if h.BackingOffset >= uint64(h.HeaderLength) {
			end = h.BackingOffset
		}
	}
	if uint64(h.HeaderLength) > end {
		return at.Corrupt("header of %d bytes in a file of %d", h.HeaderLength, len(first))
	}
	return h.parseExtensions(first[h.HeaderLength:end])
}

// parseExtensions walks {type, length, data, padding to 8} up to the end mark or
// the end of the area.
func (h *header) parseExtensions(area []byte) error {
	c := ondisk.NewCursor(area, binary.BigEndian)
	for i := 0; c.Len() >= 8; i++ {
		at := ondisk.At(layer, "header extension", int64(h.HeaderLength)+int64(c.Pos()))
		if i == maxExtensions {
			return at.TooBig("more than %d extensions", maxExtensions)
		}
		kind, size := c.U32(), c.U32()
		if kind == extEnd {
			return nil
		}
		if int64(size) > int64(c.Len()) {
			return at.Corrupt("%d bytes do not fit before %#x", size, int64(h.HeaderLength)+int64(len(area)))
		}
		if err := h.parseExtension(at, kind, c.Bytes(int(size))); err != nil {
			return err
		}
		if c.Len() < 8 { // the padding of the last one may be missing
			return nil
		}
		c.Align(8)
	}
	return nil
}

func (h *header) parseExtension(at ondisk.Place, kind uint32, data []byte) error {
	switch kind {
	case extBackingFormat:
		h.backingFormat = string(data)
	case extDataFile:
		h.dataFileName = string(data)
	case extCrypto:
		if len(data) >= 16 {
			h.crypto.off = int64(binary.BigEndian.Uint64(data))
			h.crypto.n = int64(binary.BigEndian.Uint64(data[8:]))
		}
	case extFeatureNames:
		h.parseFeatureNames(data)
	case extBitmaps:
		if len(data) != 24 {
			return at.Corrupt("bitmaps extension of %d bytes", len(data))
		}
		h.bitmaps = bitmapDirectory{
			count:  binary.BigEndian.Uint32(data),
			size:   binary.BigEndian.Uint64(data[8:]),
			offset: binary.BigEndian.Uint64(data[16:]),
		}
	}
	return nil
}

// parseFeatureNames reads records of {kind, bit, 46 bytes of name}.
func (h *header) parseFeatureNames(data []byte) {
	const record = 48
	h.featureNames = map[featureBit]string{}
	for ; len(data) >= record; data = data[record:] {
		name, _, _ := bytes.Cut(data[2:record], []byte{0})
		h.featureNames[featureBit{data[0], data[1]}] = string(name)
	}
}
