package vmdk

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// head is what the first file of a disk says about the whole.
type head struct {
	desc     *descriptor
	textAt   int64         // byte where the descriptor begins
	embedded *sparseHeader // of the extent that the descriptor lies in; nil in a file of its own
	size     int64         // bytes of the disk
}

// readHead reads the descriptor, wherever it lies.
func readHead(src blockdev.Device, limits ondisk.Limits) (*head, error) {
	first := make([]byte, probeSize)
	n, err := src.ReadAt(first, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first = first[:n]
	at := ondisk.At(layer, "header", 0)
	switch {
	case isDescriptor(first):
		return readTextHead(src, limits)
	case !hasMagic(first):
		return nil, at.Format("neither an extent nor a descriptor")
	case binary.LittleEndian.Uint32(first) != sparseMagic:
		return nil, loneExtent(at)
	}
	return readSparseHead(src, limits)
}

func loneExtent(at ondisk.Place) error {
	return at.Unsupported("this file is one extent of a disk; open the disk's descriptor, which names it")
}

// readTextHead reads a descriptor that is the whole file.
func readTextHead(src blockdev.Device, limits ondisk.Limits) (*head, error) {
	if limit := min(maxDescriptor, limits.Text); src.Size() > limit {
		return nil, ondisk.At(layer, "descriptor", 0).TooBig("%d bytes, over the limit of %d", src.Size(), limit)
	}
	text, err := ondisk.Bytes(src, 0, src.Size())
	if err != nil {
		return nil, ondisk.At(layer, "descriptor", 0).Wrap(err)
	}
	h := &head{}
	if h.desc, err = parseDescriptor(text); err != nil {
		return nil, err
	}
	if len(h.desc.extents) == 0 && !h.desc.encrypted {
		return nil, ondisk.At(layer, "descriptor", 0).Corrupt("it lists no extents")
	}
	for _, x := range h.desc.extents {
		bytes, ok := ondisk.MulOK(x.sectors, sectorSize)
		if h.size, ok = addSize(h.size, bytes, ok); !ok || h.size > limits.VirtualSize {
			return nil, ondisk.At(layer, "descriptor", 0).TooBig("the extents are over the limit of %d bytes", limits.VirtualSize)
		}
	}
	return h, nil
}

func addSize(a, b int64, ok bool) (int64, bool) {
	sum, fits := ondisk.AddOK(a, b)
	return sum, ok && fits
}

// readSparseHead reads a descriptor inside a sparse extent, which is then the
// whole disk. The footer of a stream may know more than the header.
func readSparseHead(src blockdev.Device, limits ondisk.Limits) (*head, error) {
	hdr, err := readSparseHeader(src, 0, limits)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "sparse header", 0)
	if hdr.DescriptorOffset == 0 {
		return nil, loneExtent(at)
	}
	h := &head{embedded: hdr, size: int64(hdr.Capacity) * sectorSize}
	size, limit := hdr.DescriptorSize, uint64(min(maxDescriptor, limits.Text))
	if size > limit/sectorSize {
		return nil, at.In("descriptor").TooBig("%d sectors, over the limit of %d bytes", size, limit)
	}
	if hdr.DescriptorOffset > uint64(src.Size())/sectorSize {
		return nil, at.In("descriptor").Corrupt("sector %d is beyond the end of the file", hdr.DescriptorOffset)
	}
	h.textAt = int64(hdr.DescriptorOffset) * sectorSize
	text, err := ondisk.Bytes(src, h.textAt, int64(size)*sectorSize)
	if err != nil {
		return nil, ondisk.At(layer, "descriptor", h.textAt).Wrap(err)
	}
	if h.desc, err = parseDescriptor(text); err != nil {
		return nil, err
	}
	if x := h.desc.extents; !h.desc.encrypted && (len(x) != 1 || x[0].kind != extentSparse) {
		return nil, ondisk.At(layer, "descriptor", h.textAt).Unsupported("it lies in an extent and lists others")
	}
	return h, nil
}

// refusal says why a disk of this type is not opened. Types that are not listed
// are refused, too: what they mean is not known.
func (h *head) refusal() error {
	if h.desc.encrypted {
		return ondisk.At(layer, "descriptor", h.textAt).Encrypted("the disk is encrypted by VMware, which is not supported; decrypt it there")
	}
	at := ondisk.At(layer, "descriptor", h.textAt).In("createType")
	switch strings.ToLower(h.desc.createType) {
	case "monolithicsparse", "monolithicflat", "streamoptimized", "custom",
		"twogbmaxextentsparse", "twogbmaxextentflat", "2gbmaxextentsparse", "2gbmaxextentflat",
		"vmfs", "vmfsthin", "vmfspreallocated", "vmfseagerzeroedthick", "vmfssparse", "sesparse":
		return nil
	case "fulldevice", "partitioneddevice", "vmfsraw", "vmfsrdm", "vmfsrdmp",
		"vmfsrawdevicemap", "vmfspassthroughrawdevicemap":
		return at.Unsupported("%q: the data lies on a device of the host that wrote it", h.desc.createType)
	}
	return at.Unsupported("%q is not known", h.desc.createType)
}
