package qcow2

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Creator = Format{}

// Extension is "qcow2".
func (Format) Extension() string { return layer }

// Create starts an image. The header is written last, so that a run that is cut
// leaves no image. A size that is not whole sectors of 512 bytes is rounded up,
// since QEMU would cut it off. With opts.Compress the writer is an
// imagefmt.BlockWriter.
func (Format) Create(ctx context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	s, err := newSettings(size, opts)
	if err != nil {
		return nil, err
	}
	if !sink.Seekable() {
		return nil, ondisk.At(layer, "header", 0).Unsupported("qcow2 cannot be written to a pipe, since its header comes last; name a file")
	}
	size = ondisk.AlignUp(size, sectorSize)
	w := &writer{ascent: imagefmt.Ascent{Name: layer, Size: size}, settings: s, sink: sink, stop: ctx.Err, out: &stage{out: sink}}
	w.alloc = newAllocator(s, w.out)
	w.l1 = make([]uint64, max(1, s.l1Entries(size)))
	w.l2 = make([]byte, s.clusterSize())
	if _, err := w.alloc.take(1); err != nil { // the header's
		return nil, err
	}
	if !sink.Zeroed() {
		if _, err := sink.WriteAt(make([]byte, s.clusterSize()), 0); err != nil {
			return nil, err
		}
	}
	if s.compress {
		return &blockWriter{w}, nil
	}
	return w, nil
}

// firstCluster is the header with its extensions and the backing file's name;
// h brings what is only known at the end.
func (s *settings) firstCluster(h header) []byte {
	d := h.diskHeader
	d.Magic, d.Version = magic, s.version
	d.ClusterBits = uint32(s.clusterBits)
	d.RefcountOrder, d.HeaderLength = uint32(s.refcountOrder), headerFullSize
	if s.extended {
		d.Incompatible |= incompatExtendedL2
	}
	if s.compression != compressionZlib {
		d.Incompatible |= incompatCompression
	}
	length := headerFullSize
	if s.version < 3 {
		length = headerV2Size
	}
	tail := s.extensions()
	if s.backingFile != "" {
		d.BackingOffset = uint64(length + len(tail))
		d.BackingSize = uint32(len(s.backingFile))
	}
	buf := make([]byte, headerFullSize)
	// The struct has a fixed size and fits, so that encoding cannot fail.
	_, _ = binary.Encode(buf, binary.BigEndian, &d)
	buf[offCompression] = s.compression
	return append(append(buf[:length], tail...), s.backingFile...)
}

// extensions are the header extensions with their end mark.
func (s *settings) extensions() []byte {
	var p []byte
	if s.backingFormat != "" {
		p = binary.BigEndian.AppendUint32(p, extBackingFormat)
		p = binary.BigEndian.AppendUint32(p, uint32(len(s.backingFormat)))
		p = append(p, s.backingFormat...)
		p = append(p, make([]byte, -len(p)&7)...)
	}
	return append(p, make([]byte, 8)...)
}
