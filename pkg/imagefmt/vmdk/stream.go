package vmdk

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// readFooter finds the copy of the header that ends a stream and knows where the
// grain directory lies. Behind it stands the end marker, which some writers leave
// out. nil: there is no footer where one should be.
func readFooter(src blockdev.Device, first *sparseHeader, limits ondisk.Limits) (*sparseHeader, error) {
	end := ondisk.AlignDown(src.Size(), sectorSize)
	for _, at := range []int64{end - 2*sectorSize, end - sectorSize} {
		if at < 2*sectorSize {
			continue
		}
		p := make([]byte, markerSize)
		if err := ondisk.Full(src, p, at-sectorSize); err != nil {
			return nil, err
		}
		if m := decodeMarker(p); m.Size != 0 || m.Type != markerFooter || m.Value != 1 {
			continue
		}
		footer, err := readSparseHeader(src, at, limits)
		if errors.Is(err, ondisk.ErrFormat) {
			continue // a grain that looks like a marker
		}
		if err != nil {
			return nil, err
		}
		if footer.GrainSize != first.GrainSize || footer.Capacity != first.Capacity {
			return nil, ondisk.At(layer, "footer", at).Corrupt("it contradicts the header")
		}
		return footer, nil
	}
	return nil, nil
}

// scan walks the markers of a stream and makes the grain tables that it lacks.
// It begins
// behind the overhead, the header and descriptor, and reads only the markers. A grain that comes twice counts as it came last.
func (o *opening) scan(m *mapping, overhead uint64) error {
	if overhead == 0 || overhead > uint64(m.file.Size())/sectorSize {
		return ondisk.At(layer, "sparse header", 0).In("overhead").Corrupt("sector %d is not in the file; the image is truncated", overhead)
	}
	m.loose = map[int64][]byte{}
	off := int64(overhead) * sectorSize
	p := make([]byte, markerSize)
	for steps := 0; ; steps++ {
		if steps%1024 == 0 && o.ctx.Err() != nil {
			return context.Cause(o.ctx)
		}
		at := ondisk.At(layer, "marker", off)
		if !ondisk.InRange(off, markerSize, m.file.Size()) {
			return at.Corrupt("the stream has no end marker and no grain directory; the image is truncated")
		}
		if err := ondisk.Full(m.file, p, off); err != nil {
			return at.Wrap(err)
		}
		k := decodeMarker(p)
		if k.Size == 0 && k.Type == markerEOS {
			return nil
		}
		n, err := o.pass(m, at, k, off)
		if err != nil {
			return err
		}
		off += n
	}
}

// pass notes the grain of a marker, if it is one, and returns how long the record
// is with its padding.
func (o *opening) pass(m *mapping, at ondisk.Place, k marker, off int64) (int64, error) {
	if k.Size == 0 {
		if k.Value > uint64(m.file.Size())/sectorSize {
			return 0, at.Corrupt("%d sectors are more than the file has", k.Value)
		}
		return int64(k.Value+1) * sectorSize, nil
	}
	if int64(k.Size) > m.maxStored {
		return 0, at.Corrupt("%d bytes of compressed data for a grain of %d", k.Size, m.grain)
	}
	grain := uint64(m.grain / sectorSize)
	if k.Value%grain != 0 || k.Value >= uint64(m.size)/sectorSize {
		return 0, at.Corrupt("there is no grain at sector %d", k.Value)
	}
	if off/sectorSize > 1<<32-1 {
		return 0, at.TooBig("a grain table cannot point there")
	}
	i := int64(k.Value / grain)
	t := m.loose[i/m.entries]
	if t == nil {
		if err := o.spend(at, m.tableBytes()); err != nil {
			return 0, err
		}
		t = make([]byte, m.tableBytes())
		m.loose[i/m.entries] = t
	}
	binary.LittleEndian.PutUint32(t[i%m.entries*tableEntrySize:], uint32(off/sectorSize))
	return ondisk.AlignUp(grainMarkerSize+int64(k.Size), sectorSize), nil
}
