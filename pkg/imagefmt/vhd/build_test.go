package vhd

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf16"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// The images here are put together by hand, for what no program at hand writes:
// blocks of other sizes, and differencing images.

var baseUUID = [16]byte{0xba, 0x5e, 1}

// anyFooter is a footer of the given type.
func anyFooter(diskType uint32, size int64) diskFooter {
	return diskFooter{
		Cookie: [8]byte([]byte(footerCookie)), Features: featureSet, Version: version1, DataOffset: footerSize, Timestamp: 1000,
		Creator: [4]byte([]byte("win ")), OriginalSize: uint64(size), CurrentSize: uint64(size), DiskType: diskType, UUID: baseUUID,
	}
}

func fixedFooter(size int64) []byte {
	f := anyFooter(typeFixed, size)
	f.DataOffset = noOffset
	f.Cylinders, f.Heads, f.Sectors = chs(size / sectorSize)
	return encode(&f, offFooterChecksum)
}

// smallDynamic stores the sectors of content that are not zeros in blocks of the
// given size.
func smallDynamic(content []byte, blockSize int64) []byte {
	d := differencing{dynamic: true, blockSize: blockSize, size: int64(len(content))}
	for at := 0; at < len(content); at += sectorSize {
		if p := content[at:min(at+sectorSize, len(content))]; !ondisk.IsZero(p) {
			d.write(int64(at), p)
		}
	}
	return d.bytes()
}

// differencing is a differencing image to be, or a dynamic one.
type differencing struct {
	dynamic        bool
	blockSize      int64
	size           int64
	relative, name string // of the parent
	parentTime     uint32
	uuid           [16]byte
	blocks         map[int64]*sectors
}

// sectors are what a block stores.
type sectors struct{ bitmap, data []byte }

// write stores the sectors that p touches; the rest of them is zeros.
func (d *differencing) write(off int64, p []byte) {
	if d.blocks == nil {
		d.blocks = map[int64]*sectors{}
	}
	for len(p) > 0 {
		i, in := off/d.blockSize, off%d.blockSize
		b := d.blocks[i]
		if b == nil {
			b = &sectors{make([]byte, bitmapSize(d.blockSize)), make([]byte, d.blockSize)}
			d.blocks[i] = b
		}
		n := copy(b.data[in:], p)
		setBits(b.bitmap, in/sectorSize, ondisk.DivUp(in+int64(n), sectorSize))
		p, off = p[n:], off+int64(n)
	}
}

func (d *differencing) bytes() []byte {
	f := anyFooter(typeDifferencing, d.size)
	if d.dynamic {
		f.DiskType = typeDynamic
	}
	f.Cylinders, f.Heads, f.Sectors = chs(d.size / sectorSize)
	if d.uuid != ([16]byte{}) {
		f.UUID = d.uuid
	}
	entries := ondisk.DivUp(d.size, d.blockSize)
	tableBytes := ondisk.AlignUp(entries*tableEntrySize, sectorSize)
	h := diskHeader{
		Cookie: [8]byte([]byte(headerCookie)), NextOffset: noOffset, TableOffset: footerSize + headerSize, Version: version1,
		MaxEntries: uint32(entries), BlockSize: uint32(d.blockSize),
	}
	path := utf16Bytes(d.relative, binary.LittleEndian)
	if !d.dynamic {
		h.ParentUUID, h.ParentTimestamp = baseUUID, d.parentTime
		copy(h.ParentName[:], utf16Bytes(d.name, binary.BigEndian))
		if d.relative != "" {
			h.Locators[1] = diskLocator{
				Platform: [4]byte([]byte(platformRelative)), Space: sectorSize,
				Length: uint32(len(path)), Offset: uint64(footerSize + headerSize + tableBytes),
			}
		}
	}
	out := append(encode(&f, offFooterChecksum), encode(&h, offHeaderChecksum)...)
	table := bytes.Repeat([]byte{0xff}, int(tableBytes))
	tail := padded(path, sectorSize)
	for _, i := range sortedKeys(d.blocks) {
		binary.BigEndian.PutUint32(table[i*tableEntrySize:], uint32((len(out)+len(table)+len(tail))/sectorSize))
		tail = append(append(tail, d.blocks[i].bitmap...), d.blocks[i].data...)
	}
	return append(append(append(out, table...), tail...), out[:footerSize]...)
}

func sortedKeys(m map[int64]*sectors) []int64 {
	var keys []int64
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func utf16Bytes(text string, order binary.AppendByteOrder) []byte {
	var p []byte
	for _, u := range utf16.Encode([]rune(text)) {
		p = order.AppendUint16(p, u)
	}
	return p
}
