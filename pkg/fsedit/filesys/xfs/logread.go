package xfs

import (
	"bytes"
	"hash/crc32"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// xlog is the log of one volume: size blocks of 512 bytes from off on.
type xlog struct {
	v    *volume
	off  int64
	size int64
}

func (v *volume) log() *xlog {
	return &xlog{v: v, off: v.byteOff(v.super.LogStart), size: int64(v.super.LogBlocks) << (v.blockBits - logBlockBits)}
}

func (l *xlog) at(pos int64) ondisk.Place {
	return ondisk.At(layer, "log block", l.off+l.wrap(pos)<<logBlockBits)
}

// wrap brings a position behind the end of the ring back to its start.
func (l *xlog) wrap(pos int64) int64 { return pos % l.size }

// distance is how many blocks follow from a on until b; a full round when they
// are the same.
func (l *xlog) distance(a, b int64) int64 {
	if b > a {
		return b - a
	}
	return b + l.size - a
}

// read returns n blocks from pos on, which may go around the end.
func (l *xlog) read(pos, n int64) ([]byte, error) {
	pos = l.wrap(pos)
	if n < 0 || n > l.size {
		return nil, l.at(pos).Corrupt("%d blocks in a log of %d", n, l.size)
	}
	p := make([]byte, n<<logBlockBits)
	first := min(n, l.size-pos)
	if err := ondisk.Full(l.v.dev, p[:first<<logBlockBits], l.off+pos<<logBlockBits); err != nil {
		return nil, l.at(pos).Wrap(err)
	}
	if err := ondisk.Full(l.v.dev, p[first<<logBlockBits:], l.off); err != nil {
		return nil, l.at(0).Wrap(err)
	}
	return p, nil
}

// cycleOf is the round in which a block was written.
func cycleOf(block []byte) uint32 {
	if be.Uint32(block) == logMagic {
		return be.Uint32(block[rhCycle:])
	}
	return be.Uint32(block)
}

func (l *xlog) cycle(pos int64) (uint32, error) {
	p, err := l.read(pos, 1)
	if err != nil {
		return 0, err
	}
	return cycleOf(p), nil
}

// recordHead is the header of a record.
type recordHead struct {
	pos     int64
	raw     []byte // its first block
	cycle   uint32
	lsn     lsn
	tail    lsn
	ops     uint32
	headers int64 // blocks
	blocks  int64 // that follow the headers
}

// end is the position behind a record, not wrapped.
func (h *recordHead) end() int64 { return h.pos + h.headers + h.blocks }

// head decodes the header of a record at pos.
func (l *xlog) head(pos int64, raw []byte) (*recordHead, error) {
	at := l.at(pos)
	version, length, size := be.Uint32(raw[rhVersion:]), be.Uint32(raw[rhLen:]), be.Uint32(raw[rhSize:])
	h := &recordHead{
		pos: pos, raw: raw[:logBlock], cycle: be.Uint32(raw[rhCycle:]), headers: 1,
		lsn: lsn(be.Uint64(raw[rhLSN:])), tail: lsn(be.Uint64(raw[rhTailLSN:])),
		ops: be.Uint32(raw[rhOps:]), blocks: ondisk.DivUp(int64(length), logBlock),
	}
	switch {
	case be.Uint32(raw) != logMagic:
		return nil, at.Corrupt("a record is expected here")
	case version == 0 || version&^logVersions != 0:
		return nil, at.Corrupt("a record of version %d", version)
	case length > logMaxRecord:
		return nil, at.Corrupt("a record of %d bytes", length)
	case h.lsn.block() != pos:
		return nil, at.Corrupt("the record belongs to block %d", h.lsn.block())
	}
	if version&logVersion2 != 0 && size > logHeaderFor {
		if size > logMaxRecord {
			return nil, at.Corrupt("records of %d bytes", size)
		}
		h.headers = ondisk.DivUp(int64(size), logHeaderFor)
	}
	if h.headers*logCycleData < h.blocks || h.headers+h.blocks > l.size {
		return nil, at.Corrupt("a record of %d bytes with %d headers", length, h.headers)
	}
	return h, nil
}

// headAt reads the header at pos.
func (l *xlog) headAt(pos int64) (*recordHead, error) {
	raw, err := l.read(pos, 1)
	if err != nil {
		return nil, err
	}
	return l.head(l.wrap(pos), raw)
}

// body reads what follows the headers of a record, verifies all of it, and puts
// the first words of its blocks back in their places. A wrong checksum is
// errTorn.
func (l *xlog) body(h *recordHead) ([]byte, error) {
	all, err := l.read(h.pos, h.headers+h.blocks)
	if err != nil {
		return nil, err
	}
	heads, body := all[:h.headers<<logBlockBits], all[h.headers<<logBlockBits:]
	if err := l.verify(h, heads, body); err != nil {
		return nil, err
	}
	for i := range h.blocks {
		table := heads[i/logCycleData<<logBlockBits:]
		word := table[4+i%logCycleData*4:]
		if i < logCycleData {
			word = heads[rhCycleData+i*4:]
		}
		copy(body[i<<logBlockBits:][:4], word[:4])
	}
	return body[:be.Uint32(h.raw[rhLen:])], nil
}

// errTorn is a record whose bytes did not all reach the disk.
var errTorn = ondisk.Because(ondisk.ErrCorrupt, "wrong checksum of a log record")

// verify checks the checksum of a record, as it lies on the disk. mkfs and
// xfs_repair leave it out, and so may old kernels.
func (l *xlog) verify(h *recordHead, heads, body []byte) error {
	want := le.Uint32(heads[rhCRC:])
	if want == 0 {
		return nil
	}
	for _, n := range []int{rhLength, rhLength32} {
		c := sum(heads[:n], rhCRC)
		for i := int64(1); i < ondisk.DivUp(h.blocks<<logBlockBits, logHeaderFor); i++ {
			c = crc32.Update(c, castagnoli, heads[i<<logBlockBits:][:rhExtLength])
		}
		if crc32.Update(c, castagnoli, body[:be.Uint32(heads[rhLen:])]) == want {
			return nil
		}
	}
	return l.at(h.pos).Wrap(errTorn)
}

// ours checks that a record can be replayed here.
func (l *xlog) ours(h *recordHead) error {
	if f := be.Uint32(h.raw[rhFormat:]); f != logFormatLE {
		return l.at(h.pos).Unsupported("a log that another kind of machine wrote (format %d)", f)
	}
	if !bytes.Equal(h.raw[rhUUID:][:16], l.v.super.UUID[:]) {
		return l.at(h.pos).Corrupt("the log belongs to another filesystem")
	}
	return nil
}
