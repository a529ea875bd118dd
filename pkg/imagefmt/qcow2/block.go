package qcow2

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// blockWriter is a writer of compressed clusters: a block is a cluster.
type blockWriter struct{ *writer }

var _ imagefmt.BlockWriter = (*blockWriter)(nil)

// BlockSize is the size of a cluster in bytes.
func (w *writer) BlockSize() int { return int(w.clusterSize()) }

// Encode compresses a cluster. One that does not shrink stays plain, the last
// one of a disk is filled up with zeros.
func (w *blockWriter) Encode(dst []byte, off int64, plain []byte) (imagefmt.Block, error) {
	return w.encode(dst, off, plain)
}

// Append stores a cluster: compressed ones byte after byte.
func (w *blockWriter) Append(b imagefmt.Block) error {
	short := int64(b.Len) != w.clusterSize()
	if b.Off%w.clusterSize() != 0 || short && (int64(b.Len) > w.clusterSize() || b.Off+int64(b.Len) <= w.ascent.Size-sectorSize) {
		return fmt.Errorf("qcow2: block %d+%d is not a cluster", b.Off, b.Len)
	}
	if err := w.ascent.Admit(b.Off, int64(b.Len)); err != nil {
		return err
	}
	err := w.endPart()
	if err == nil {
		err = w.appendBlock(b)
	}
	return w.ascent.Keep(err)
}

func (s *settings) encode(dst []byte, off int64, plain []byte) (imagefmt.Block, error) {
	b := imagefmt.Block{Off: off, Len: len(plain)}
	size := s.clusterSize()
	switch {
	case int64(len(plain)) > size:
		return b, fmt.Errorf("qcow2: block of %d bytes, more than a cluster", len(plain))
	case ondisk.IsZero(plain):
		b.Zero = true
		return b, nil
	case int64(len(plain)) < size:
		plain = append(make([]byte, 0, size), plain...)[:size]
	}
	packed, err := compress(s.compression, s.level, dst, plain)
	if err != nil {
		return b, err
	}
	if packed != nil {
		b.Data, b.Packed = packed, true
	} else {
		b.Data = append(dst[:0], plain...)
	}
	return b, nil
}

func (w *writer) appendBlock(b imagefmt.Block) error {
	switch {
	case b.Zero:
		return w.mapZero(b.Off)
	case !b.Packed:
		if int64(len(b.Data)) != w.clusterSize() {
			return fmt.Errorf("qcow2: plain block of %d bytes", len(b.Data))
		}
		return w.plain(b.Data, b.Off)
	case len(b.Data) == 0 || int64(len(b.Data)) >= w.clusterSize():
		return fmt.Errorf("qcow2: compressed block of %d bytes", len(b.Data))
	}
	if err := w.table(b.Off); err != nil {
		return err
	}
	host, err := w.alloc.takePacked(int64(len(b.Data)))
	if err != nil {
		return err
	}
	w.set(b.Off, entry{word: w.packedEntry(host, int64(len(b.Data)))})
	return w.out.put(b.Data, host)
}

// packedEntry is the L2 entry of compressed data; see [geometry.packedExtent].
func (g geometry) packedEntry(host, n int64) uint64 {
	sectors := uint64(host%sectorSize+n-1) / sectorSize
	return flagPacked | sectors<<g.packedBits() | uint64(host)
}
