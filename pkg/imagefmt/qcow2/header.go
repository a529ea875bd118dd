package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const layer = "qcow2"

// header is a decoded and checked header with its extensions.
type header struct {
	diskHeader
	geometry
	compression   uint8
	backingName   string
	backingFormat string
	dataFileName  string
	featureNames  map[featureBit]string
	bitmaps       bitmapDirectory
	crypto        cryptoHeader
}

type featureBit struct{ kind, bit uint8 }

// bitmapDirectory is where the persistent bitmaps are listed.
type bitmapDirectory struct {
	count  uint32
	size   uint64
	offset uint64
}

// cryptoHeader is where the LUKS header lies; nothing was checked.
type cryptoHeader struct{ off, n int64 }

func (h *header) has(incompatible uint64) bool { return h.Incompatible&incompatible != 0 }

func (h *header) size() int64 { return int64(h.Size) }

// readHeader decodes the header and checks everything that does not depend on
// what the caller wants to do with the image. See [header.refusal] for that.
func readHeader(src blockdev.Device, limits ondisk.Limits) (*header, error) {
	h, err := readFixed(src)
	if err != nil {
		return nil, err
	}
	if err := h.checkGeometry(limits); err != nil {
		return nil, err
	}
	first := make([]byte, min(h.clusterSize(), src.Size()))
	if err := ondisk.Full(src, first, 0); err != nil {
		return nil, ondisk.At(layer, "header", 0).Wrap(err)
	}
	if err := h.parseNames(first); err != nil {
		return nil, err
	}
	if err := h.checkCompression(first); err != nil {
		return nil, err
	}
	return h, h.checkTables(src.Size(), limits)
}

func readFixed(src blockdev.Device) (*header, error) {
	at := ondisk.At(layer, "header", 0)
	buf := make([]byte, headerV3Size)
	n, err := src.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, at.Wrap(err)
	}
	if n < 8 || binary.BigEndian.Uint32(buf) != magic {
		return nil, at.Format("no qcow2 magic")
	}
	h := &header{}
	version := binary.BigEndian.Uint32(buf[4:])
	switch version {
	case 1:
		return nil, at.Unsupported("version 1 (qcow) images; convert them with qemu-img first")
	case 2:
		clear(buf[headerV2Size:])
		n = min(n, headerV2Size)
	case 3:
	default:
		return nil, at.Unsupported("version %d", version)
	}
	if want := map[uint32]int{2: headerV2Size, 3: headerV3Size}[version]; n < want {
		return nil, at.Corrupt("ends early: %d of %d bytes", n, want)
	}
	if _, err := binary.Decode(buf, binary.BigEndian, &h.diskHeader); err != nil {
		return nil, at.Wrap(err)
	}
	if version == 2 {
		h.HeaderLength, h.RefcountOrder = headerV2Size, 4
	}
	return h, nil
}

func (h *header) checkGeometry(limits ondisk.Limits) error {
	at := ondisk.At(layer, "header", 0)
	if h.ClusterBits < minClusterBits || h.ClusterBits > maxClusterBits {
		return at.In("cluster_bits").Corrupt("%d is not in %d..%d", h.ClusterBits, minClusterBits, maxClusterBits)
	}
	h.geometry = geometry{clusterBits: uint(h.ClusterBits), extended: h.has(incompatExtendedL2)}
	if h.extended && h.ClusterBits < minExtendedClusterBits {
		return at.In("cluster_bits").Corrupt("%d is too small for extended L2 entries", h.ClusterBits)
	}
	if h.Version >= 3 && (h.HeaderLength < headerV3Size || int64(h.HeaderLength) > h.clusterSize()) {
		return at.In("header_length").Corrupt("%d", h.HeaderLength)
	}
	if h.RefcountOrder > maxRefcountOrder {
		return at.In("refcount_order").Corrupt("%d is more than %d", h.RefcountOrder, maxRefcountOrder)
	}
	if h.Size > uint64(limits.VirtualSize) {
		return at.In("size").TooBig("a disk of %d bytes; at most %d are allowed", h.Size, limits.VirtualSize)
	}
	if h.CryptMethod > cryptLUKS {
		return at.In("crypt_method").Unsupported("encryption method %d", h.CryptMethod)
	}
	return nil
}

// checkCompression reads the compression type, which follows the fields that
// every version 3 header has.
func (h *header) checkCompression(first []byte) error {
	if h.Version >= 3 && h.HeaderLength > headerV3Size && len(first) > offCompression {
		h.compression = first[offCompression]
	}
	at := ondisk.At(layer, "header", 0).In("compression_type")
	if (h.compression != compressionZlib) != h.has(incompatCompression) {
		return at.Corrupt("type %d and its feature bit contradict each other", h.compression)
	}
	if h.compression > compressionZstd {
		return at.Unsupported("compression type %d", h.compression)
	}
	return nil
}

// checkTables holds every table of the header against the size of the file.
func (h *header) checkTables(fileSize int64, limits ondisk.Limits) error {
	need := h.l1Entries(h.size())
	if int64(h.L1Size) < need {
		return ondisk.At(layer, "header", 0).In("l1_size").Corrupt("%d entries, but the disk needs %d", h.L1Size, need)
	}
	tables := []struct {
		name   string
		off    uint64
		bytes  int64
		cap    int64
		atomic bool // in whole, not a lower bound of its size
	}{
		{"L1 table", h.L1Offset, int64(h.L1Size) * 8, min(maxL1Bytes, limits.Table), true},
		{"refcount table", h.RefcountTableOffset, int64(h.RefcountTableClusters) << h.clusterBits, min(maxRefcountTableBytes, limits.Table), true},
		{"snapshot table", h.SnapshotsOffset, int64(h.Snapshots) * diskSnapshotSize, maxSnapshots * diskSnapshotSize, false},
	}
	for _, t := range tables {
		if t.bytes == 0 {
			continue
		}
		at := ondisk.At(layer, t.name, int64(t.off&(1<<62-1)))
		if t.bytes > t.cap {
			return at.TooBig("%d bytes; at most %d are allowed", t.bytes, t.cap)
		}
		if t.off%uint64(h.clusterSize()) != 0 || t.off == 0 {
			return at.Corrupt("not at a cluster of its own")
		}
		if t.off > uint64(fileSize) || t.bytes > fileSize-int64(t.off) {
			return at.Corrupt("ends beyond the end of the file (%d bytes); the image is truncated", fileSize)
		}
	}
	return nil
}

// refusal is why the guest's data cannot be read, or nil.
func (h *header) refusal() error {
	at := ondisk.At(layer, "header", 0)
	if unknown := h.Incompatible &^ incompatKnown; unknown != 0 {
		return at.In("incompatible features").Unsupported("%s", h.nameBits(0, unknown))
	}
	if h.has(incompatCorrupt) {
		return at.Corrupt("the image is marked as corrupt; repair a copy with qemu-img check -r all")
	}
	switch h.CryptMethod {
	case cryptAES:
		return at.Encrypted("the image is encrypted with the legacy AES method; decrypt it with qemu-img convert")
	case cryptLUKS:
		return at.Encrypted("the image is encrypted with LUKS inside qcow2; decrypt it with qemu-img convert")
	}
	return nil
}

// nameBits lists feature bits by the names that the image itself gives them,
// quoted, since whoever made the image chose them.
func (h *header) nameBits(kind uint8, bits uint64) string {
	var b bytes.Buffer
	for i := uint8(0); i < 64; i++ {
		if bits>>i&1 == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "unknown feature bit %d", i)
		if name := h.featureNames[featureBit{kind, i}]; name != "" {
			fmt.Fprintf(&b, " (%+q)", name)
		}
	}
	return b.String()
}
