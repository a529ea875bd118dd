package xva

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// image is one disk of an archive. It is safe for concurrent reads: nothing in
// it changes.
type image struct {
	src   imagefmt.Source
	table *chunkTable
	owned io.Closer // the archive, when nobody else closes it
}

var (
	_ imagefmt.Image    = (*image)(nil)
	_ blockdev.Extenter = (*image)(nil)
)

func (m *image) Size() int64 { return m.table.size }

func (m *image) Close() error {
	if m.owned == nil {
		return nil
	}
	return m.owned.Close()
}

func (m *image) Info() imagefmt.Info {
	info := imagefmt.Info{Format: layer, VirtualSize: m.Size(), ClusterSize: chunkSize}
	if len(m.table.runs) > 0 {
		if suffix := sumKinds[m.table.runs[0].sum].suffix; suffix != "" {
			info.Features = []string{suffix[1:]}
		}
	}
	return info
}

// ReadAt reads guest bytes. A chunk of which all is wanted is compared with its
// checksum; a part of one is not.
func (m *image) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, m.Size(), m.readSome)
}

// readSome fills p up to the end of the chunk, or of the gap, that off is in.
func (m *image) readSome(p []byte, off int64) (int, error) {
	c, ok := m.table.find(off)
	switch {
	case !ok:
		clear(p)
		return len(p), nil
	case off < c.pos:
		p = p[:min(int64(len(p)), c.pos-off)]
		clear(p)
		return len(p), nil
	}
	in := off - c.pos
	p = p[:min(int64(len(p)), c.size-in)]
	if err := ondisk.Full(m.src, p, c.off+in); err != nil {
		return 0, m.at(c).Wrap(err)
	}
	// The last chunk may be longer than the disk; then nobody can ask for all of it.
	if int64(len(p)) == c.size {
		return len(p), m.verify(c, p)
	}
	return len(p), nil
}

func (m *image) at(c chunk) ondisk.Place {
	return ondisk.At(layer, "chunk "+chunkName{ref: m.table.ref, number: c.number}.String(), c.off)
}

// verify compares the bytes of a chunk with its checksum, if it has one.
func (m *image) verify(c chunk, p []byte) error {
	if c.sum == noSum {
		return nil
	}
	var buf [2 * sha1.Size]byte
	want := buf[:sumKinds[c.sum].digits]
	if err := ondisk.Full(m.src, want, c.sumOff); err != nil {
		return m.at(c).In("checksum").Wrap(err)
	}
	if got := checksum(c.sum, p); !strings.EqualFold(got, string(want)) {
		return m.at(c).Corrupt("checksum is %s, not %q", got, want)
	}
	return nil
}

// checksum is written as XenServer writes it.
func checksum(kind sumKind, p []byte) string {
	if kind == sha1Sum {
		sum := sha1.Sum(p)
		return hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf("%016X", xxhash.Sum64(p))
}

// NextExtent knows the gaps between chunks. A chunk with a checksum is data to
// its end, wherever its bytes lie on the host: who copied them there, or left the
// archive's holes out, would not compare them. One without has what the archive
// has.
func (m *image) NextExtent(off, n int64) (blockdev.Extent, error) {
	if off < 0 || n <= 0 || off >= m.Size() || n > m.Size()-off {
		return blockdev.Extent{}, fmt.Errorf("xva: extent %d+%d outside a disk of %d bytes", off, n, m.Size())
	}
	c, ok := m.table.find(off)
	switch {
	case !ok:
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
	case off < c.pos:
		return blockdev.Extent{Off: off, Len: min(n, c.pos-off), Kind: blockdev.Zero}, nil
	}
	n = min(n, c.end()-off)
	if c.sum != noSum {
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Data}, nil
	}
	e, err := blockdev.NextExtent(m.src, c.off+off-c.pos, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	e.Off = off
	return e, nil
}
