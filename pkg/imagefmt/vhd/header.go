package vhd

import (
	"encoding/binary"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// header is the sparse header of a dynamic or differencing image.
type header struct {
	diskHeader
	off int64
}

// readHeader reads and checks the header that a footer names. Everything that it
// says about the file is true of the file afterwards.
func readHeader(src blockdev.Device, f *footer) (*header, error) {
	off := int64(f.DataOffset)
	if off < 0 || !ondisk.InRange(off, headerSize, src.Size()) {
		return nil, f.place().In("data offset").Corrupt("the header at %#x lies beyond the end of the file (%d bytes)", f.DataOffset, src.Size())
	}
	at := ondisk.At(layer, "header", off)
	raw := make([]byte, headerSize)
	if err := ondisk.Full(src, raw, off); err != nil {
		return nil, at.Wrap(err)
	}
	h := &header{off: off}
	if _, err := binary.Decode(raw, binary.BigEndian, &h.diskHeader); err != nil {
		return nil, at.Wrap(err)
	}
	switch {
	case string(h.Cookie[:]) != headerCookie:
		return nil, at.In("cookie").Corrupt("%q is not %q", h.Cookie[:], headerCookie)
	case !sealed(raw, offHeaderChecksum):
		return nil, at.In("checksum").Corrupt("%#08x is wrong", h.Checksum)
	case h.Version>>16 != version1>>16:
		return nil, at.In("version").Unsupported("%d.%d is not known", h.Version>>16, h.Version&0xffff)
	}
	return h, h.validate(at, src, f.size())
}

func (h *header) validate(at ondisk.Place, src blockdev.Device, size int64) error {
	blocks := int64(h.MaxEntries)
	switch {
	case bits.OnesCount32(h.BlockSize) != 1 || h.BlockSize < sectorSize:
		return at.In("block size").Corrupt("%d is not a power of two from %d", h.BlockSize, sectorSize)
	case blocks < ondisk.DivUp(size, h.blockSize()):
		return at.In("max table entries").Corrupt("%d blocks of %d bytes do not hold a disk of %d bytes", blocks, h.BlockSize, size)
	case h.TableOffset > 1<<63-1 || !ondisk.InRange(int64(h.TableOffset), blocks*tableEntrySize, src.Size()):
		return at.In("table offset").Corrupt("%d entries at %#x end beyond the end of the file (%d bytes); the image is truncated", blocks, h.TableOffset, src.Size())
	}
	return nil
}

func (h *header) blockSize() int64 { return int64(h.BlockSize) }

// bitmapSize is how long the bitmap before the data of a block is: a bit for
// each sector, in whole sectors.
func bitmapSize(blockSize int64) int64 {
	return ondisk.AlignUp(ondisk.DivUp(blockSize/sectorSize, 8), sectorSize)
}
