package vdi

import (
	"encoding/binary"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// header is a header that was checked.
type header struct {
	diskHeader
	blockBits uint
}

var headerPlace = ondisk.At(layer, "header", 0)

// readHeader reads and checks the header of any image of version 1.1. Whether an
// image of its type can be opened, refusal says.
func readHeader(src blockdev.Device, limits ondisk.Limits) (*header, error) {
	d, err := ondisk.Read[diskHeader](src, 0, binary.LittleEndian)
	if err != nil {
		return nil, headerPlace.Wrap(err)
	}
	h := &header{diskHeader: d, blockBits: uint(bits.TrailingZeros32(d.BlockSize))}
	if err := h.checkKind(); err != nil {
		return nil, err
	}
	if err := h.checkSizes(limits); err != nil {
		return nil, err
	}
	return h, h.checkPlaces(src.Size())
}

func (h *header) checkKind() error {
	switch {
	case h.Signature != signature:
		return headerPlace.Format("the signature is %#08x", h.Signature)
	case h.Version>>16 == 0:
		return headerPlace.In("version").Unsupported("%d.%d is a legacy version; VBoxManage clonemedium makes a new image of it", h.Version>>16, h.Version&0xffff)
	case h.Version != version:
		return headerPlace.In("version").Unsupported("%d.%d is not 1.1", h.Version>>16, h.Version&0xffff)
	case h.Type < typeDynamic || h.Type > typeDiff:
		return headerPlace.In("type").Unsupported("%d is not known", h.Type)
	case h.SectorSize != sectorSize:
		return headerPlace.In("sector size").Unsupported("%d is not 512", h.SectorSize)
	case bits.OnesCount32(h.BlockSize) != 1:
		return headerPlace.In("block size").Corrupt("%d is not a power of two", h.BlockSize)
	case h.blockBits < minBlockBits || h.blockBits > maxBlockBits:
		return headerPlace.In("block size").Unsupported("%d is not between 4 KiB and 256 MiB", h.BlockSize)
	case h.BlockExtra > 1<<maxBlockBits:
		return headerPlace.In("block extra").Unsupported("%d bytes before each block", h.BlockExtra)
	}
	return nil
}

func (h *header) checkSizes(limits ondisk.Limits) error {
	switch {
	case h.DiskSize > uint64(limits.VirtualSize):
		return headerPlace.In("disk size").TooBig("%d bytes, over the limit of %d", h.DiskSize, limits.VirtualSize)
	case h.Blocks > maxBlocks:
		return headerPlace.In("blocks").Corrupt("%d are more than the format can have", h.Blocks)
	case h.size() > int64(h.Blocks)<<h.blockBits:
		return headerPlace.In("blocks").Corrupt("%d blocks of %d bytes do not hold a disk of %d", h.Blocks, h.BlockSize, h.DiskSize)
	case h.Allocated > h.Blocks:
		return headerPlace.In("blocks allocated").Corrupt("%d of %d", h.Allocated, h.Blocks)
	}
	return nil
}

// checkPlaces looks whether header, map and data follow each other, and whether
// the file holds as much as the header says, so that a truncated image is found
// before its first byte is converted.
func (h *header) checkPlaces(fileSize int64) error {
	headerEnd := headerStart + int64(h.HeaderSize)
	mapEnd := int64(h.MapOffset) + h.mapSize()
	switch {
	case h.HeaderSize < minHeaderSize:
		return headerPlace.In("header size").Corrupt("%#x is less than %#x", h.HeaderSize, minHeaderSize)
	case int64(h.MapOffset) < headerEnd:
		return headerPlace.In("map offset").Corrupt("%#x lies in the header, which ends at %#x", h.MapOffset, headerEnd)
	case int64(h.DataOffset) < mapEnd:
		return headerPlace.In("data offset").Corrupt("%#x lies in the block map, which ends at %#x", h.DataOffset, mapEnd)
	case mapEnd > fileSize:
		return headerPlace.In("blocks").Corrupt("the block map ends at %#x, beyond the end of the file (%d bytes); the image is truncated", mapEnd, fileSize)
	case h.dataEnd() > fileSize:
		return headerPlace.In("blocks allocated").Corrupt("%d blocks end at %#x, beyond the end of the file (%d bytes); the image is truncated", h.Allocated, h.dataEnd(), fileSize)
	}
	return nil
}

// refusal is why an image with a good header cannot be opened.
func (h *header) refusal() error {
	switch {
	case h.Type == typeUndo:
		return headerPlace.In("type").Unsupported("undo images are not read")
	case h.differencing():
		return headerPlace.In("link").Unsupported("a differencing image; its parent is the image with the UUID %s, and no file name leads there; clone it with VBoxManage clonemedium", h.Link)
	}
	return nil
}

func (h *header) differencing() bool { return h.Type == typeDiff || h.Link != uuid{} }

// size is the disk in bytes, whole sectors.
func (h *header) size() int64 { return ondisk.AlignUp(int64(h.DiskSize), sectorSize) }

func (h *header) blockSize() int64 { return 1 << h.blockBits }
func (h *header) mapSize() int64   { return int64(h.Blocks) * entrySize }

// stride is how far two neighbouring places lie apart.
func (h *header) stride() int64 { return h.blockSize() + int64(h.BlockExtra) }

// place is where the block of an entry begins with its extra bytes.
func (h *header) place(entry int64) int64 { return int64(h.DataOffset) + entry*h.stride() }

// dataEnd is the least size of the file: the last place may hold the last block
// of the disk, which may be shorter.
func (h *header) dataEnd() int64 {
	if h.Allocated == 0 {
		return 0
	}
	last := h.size() & (h.blockSize() - 1)
	if last == 0 {
		last = h.blockSize()
	}
	return h.place(int64(h.Allocated)-1) + int64(h.BlockExtra) + last
}
