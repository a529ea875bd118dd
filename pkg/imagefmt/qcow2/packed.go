package qcow2

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var (
	_ imagefmt.PackedReader = (*image)(nil)
	_ imagefmt.PackedWriter = (*blockWriter)(nil)
)

// codec is what the clusters of a compression type hold.
func codec(method uint8) imagefmt.Codec {
	if method == compressionZstd {
		return imagefmt.Zstd
	}
	return imagefmt.Deflate
}

// PackedSize is a cluster. An image with an external data file has no compressed
// clusters.
func (img *image) PackedSize() int {
	if img.m.external {
		return 0
	}
	return int(img.m.clusterSize())
}

// ReadPacked gives a compressed cluster as it lies in the file. A zstd frame that
// does not say that it is the whole cluster is left to ReadAt.
func (img *image) ReadPacked(dst []byte, off int64) (imagefmt.PackedBlock, bool, error) {
	size := img.m.clusterSize()
	if off < 0 || off%size != 0 || off >= img.Size() {
		return imagefmt.PackedBlock{}, false, fmt.Errorf("qcow2: %d is no cluster of a disk of %d bytes", off, img.Size())
	}
	b := imagefmt.PackedBlock{Off: off, Len: int(min(size, img.Size()-off)), Codec: codec(img.hdr.compression)}
	r, err := img.m.within(off, int64(b.Len))
	if err != nil || r.kind != packed {
		return b, false, err
	}
	stored := min(img.ownBytes(off, r), img.m.file.Size()-r.host, 2*size)
	b.Data = append(dst[:0], make([]byte, stored)...)
	if err := ondisk.Full(img.m.file, b.Data, r.host); err != nil {
		return b, false, ondisk.At(layer, "compressed cluster", r.host).Wrap(err)
	}
	ok := true
	if b.Codec == imagefmt.Zstd {
		b.Data, ok = trimFrame(b.Data, size)
	}
	return b, ok, nil
}

// ownBytes is how many bytes from r.host may be of r, the cluster at off. The
// entry counts sectors; where the next cluster of the guest begins in the last
// of them, as it does in images that were written in order, it ends there.
func (img *image) ownBytes(off int64, r run) int64 {
	next := off + img.m.clusterSize()
	if next >= img.Size() {
		return r.stored
	}
	// An entry that is broken is reported when it is read.
	after, err := img.m.within(next, 1)
	if err == nil && after.kind == packed && after.host > r.host {
		return min(r.stored, after.host-r.host)
	}
	return r.stored
}

// trimFrame cuts what follows the zstd frame, and reports whether that frame is
// known to give size bytes.
func trimFrame(data []byte, size int64) ([]byte, bool) {
	var h zstd.Header
	if h.Decode(data) != nil || !h.HasFCS || h.FrameContentSize != uint64(size) {
		return nil, false
	}
	n, err := zstdFrame(data)
	if err != nil {
		return nil, false // reading it says what is wrong
	}
	return data[:n], true
}

// Adopt stores the cluster as it is, if it is of the image's compression type. One
// that did not shrink is not stored compressed, and a disk's last one is not taken
// when it is short: QEMU wants a stream that fills the cluster.
func (w *blockWriter) Adopt(_ []byte, b imagefmt.PackedBlock) (imagefmt.Block, bool, error) {
	n := int64(len(b.Data))
	if b.Codec != codec(w.compression) || int64(b.Len) != w.clusterSize() || n == 0 || n >= w.clusterSize() {
		return imagefmt.Block{}, false, nil
	}
	return imagefmt.Block{Off: b.Off, Len: b.Len, Data: b.Data, Packed: true}, true, nil
}
