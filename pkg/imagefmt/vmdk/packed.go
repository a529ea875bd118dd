package vmdk

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.PackedReader = (*image)(nil)

// zlib's frame of RFC 1950 around deflated data.
const (
	frameHeader  = 2
	frameTrailer = 4 // the checksum
)

// PackedSize is the grain of a disk that is one stream and no delta.
func (img *image) PackedSize() int {
	if len(img.extents) != 1 || img.parent != nil {
		return 0
	}
	if m := img.extents[0].m; m != nil && m.maxStored > 0 {
		return int(m.grain)
	}
	return 0
}

// ReadPacked takes the compressed data out of its frame. A last grain that is cut
// off by the disk's end is left to ReadAt: its stream may hold more.
func (img *image) ReadPacked(dst []byte, off int64) (imagefmt.PackedBlock, bool, error) {
	size := int64(img.PackedSize())
	if size == 0 || off%size != 0 || !ondisk.InRange(off, size, img.Size()) {
		return imagefmt.PackedBlock{}, false, nil
	}
	x, r, err := img.next(off, size)
	if err != nil || r.kind != packed {
		return imagefmt.PackedBlock{}, false, err
	}
	at := ondisk.At(layer, "compressed grain", r.host)
	buf := dst[:0]
	stream, err := x.m.readStream(&buf, r)
	if err != nil {
		return imagefmt.PackedBlock{}, false, at.Wrap(err)
	}
	if !plainZlib(stream) {
		return imagefmt.PackedBlock{}, false, at.Corrupt("it is no zlib stream")
	}
	data := stream[frameHeader : len(stream)-frameTrailer]
	return imagefmt.PackedBlock{Off: off, Len: int(size), Codec: imagefmt.Deflate, Data: data}, true, nil
}

// plainZlib checks the header: deflate, no preset dictionary, a sum that is
// right.
func plainZlib(p []byte) bool {
	return len(p) > frameHeader+frameTrailer && p[0]&0x0f == 8 && p[1]&0x20 == 0 &&
		(uint(p[0])<<8|uint(p[1]))%31 == 0
}
