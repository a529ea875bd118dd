package qcow2

import (
	"encoding/binary"
	"math/bits"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// kind says where the bytes of a guest range come from.
type kind uint8

const (
	unallocated kind = iota // the backing file, or zeros
	zeroed                  // zeros, whatever lies below
	plain                   // as they are, at a host offset
	packed                  // a compressed cluster
)

// run is a range of guest bytes of one kind.
type run struct {
	n      int64 // guest bytes
	kind   kind
	host   int64 // plain: of the first byte; packed: of the compressed data
	stored int64 // packed: at most this many bytes are its own
}

// follows reports whether s, right after r in the guest, is more of the same.
func (r run) follows(s run) bool {
	return r.kind == s.kind && r.kind != packed && (r.kind != plain || r.host+r.n == s.host)
}

// sliceSize is how much of an L2 table is read and cached at once.
const sliceSize = 64 << 10

// lookahead is how many L2 entries one call of [mapping.next] may look at, so
// that asking again after every hole of a file stays cheap.
const lookahead = 32 << 10

// mapping translates guest offsets by L1 and L2 tables.
type mapping struct {
	geometry
	file     blockdev.Device // where the tables lie
	data     blockdev.Device // where plain clusters lie
	version  uint32
	external bool // data is another file than file
	l1       []uint64
	l1Offset int64
	slices   *ondisk.BlockCache[int64]
}

// next is the longest run from off that a bounded look finds. The n bytes from
// off must lie inside the disk, n > 0.
func (m *mapping) next(off, n int64) (run, error) {
	r, err := m.within(off, n)
	if err != nil {
		return run{}, err
	}
	for looked := int64(0); r.n < n && looked < lookahead && r.kind != packed; {
		s, err := m.within(off+r.n, n-r.n)
		if err != nil || !r.follows(s) {
			break // the next call reports the error
		}
		r.n += s.n
		if m.l1[(off+r.n-1)/m.tableSpan()] != 0 {
			looked += s.n >> m.clusterBits
		}
	}
	if r.kind == plain && !ondisk.InRange(r.host, r.n, m.data.Size()) {
		return run{}, ondisk.At(layer, "data cluster", ondisk.AlignDown(r.host, m.clusterSize())).
			Corrupt("%d bytes end beyond the end of the file (%d bytes); the image is truncated", r.n, m.data.Size())
	}
	return r, nil
}

// within is the run from off inside one slice of one L2 table.
func (m *mapping) within(off, n int64) (run, error) {
	span := m.tableSpan()
	table, err := m.tableOffset(off / span)
	if err != nil {
		return run{}, err
	}
	if table == 0 {
		return run{n: min(n, span-off%span), kind: unallocated}, nil
	}
	index := off % span >> m.clusterBits
	slice, first, err := m.slice(table, index)
	if err != nil {
		return run{}, err
	}
	var r run
	for at := first; at < int64(len(slice)) && r.n < n; at += m.entrySize() {
		s, err := m.cluster(m.entry(slice, at), (off+r.n)&(m.clusterSize()-1))
		switch {
		case err != nil && r.n == 0:
			return run{}, ondisk.At(layer, "L2 table", table).In("entry %d", index).Wrap(err)
		case err != nil || r.n > 0 && !r.follows(s):
			return r, nil
		case r.n == 0:
			r = s
		default:
			r.n += s.n
		}
		if (off+r.n)&(m.clusterSize()-1) != 0 {
			break // a subcluster of another kind follows
		}
	}
	r.n = min(r.n, n)
	return r, nil
}

// tableOffset is where the L2 table of L1 entry i lies; 0 means that there is none.
func (m *mapping) tableOffset(i int64) (int64, error) {
	e := m.l1[i]
	if e == 0 {
		return 0, nil
	}
	off := int64(e & offsetMask)
	at := ondisk.At(layer, "L1 table", m.l1Offset).In("entry %d", i)
	if e&reservedL1 != 0 || off%m.clusterSize() != 0 {
		return 0, at.Corrupt("%#016x has reserved bits set", e)
	}
	if off != 0 && !ondisk.InRange(off, m.clusterSize(), m.file.Size()) {
		return 0, at.Corrupt("L2 table at %#x ends beyond the end of the file (%d bytes); the image is truncated", off, m.file.Size())
	}
	return off, nil
}

// slice loads the part of an L2 table that holds entry index, and says where in
// it the entry lies.
func (m *mapping) slice(table, index int64) (slice []byte, at int64, err error) {
	size := min(m.clusterSize(), sliceSize)
	pos := index * m.entrySize()
	off := table + ondisk.AlignDown(pos, size)
	slice = m.slices.Get(off)
	if slice == nil {
		slice = make([]byte, size)
		if err := ondisk.Full(m.file, slice, off); err != nil {
			return nil, 0, ondisk.At(layer, "L2 table", table).Wrap(err)
		}
		slice = m.slices.Put(off, slice)
	}
	return slice, pos % size, nil
}

// entry is an L2 entry: the word that every image has, and with extended entries
// the bitmap of subclusters, allocated ones low and zero ones high.
type entry struct{ word, bitmap uint64 }

func (m *mapping) entry(slice []byte, at int64) entry {
	e := entry{word: binary.BigEndian.Uint64(slice[at:])}
	if m.extended {
		e.bitmap = binary.BigEndian.Uint64(slice[at+8:])
	}
	return e
}

// cluster is the run from byte in of a cluster to its end, or to the next
// subcluster of another kind.
func (m *mapping) cluster(e entry, in int64) (run, error) {
	if e.word&flagPacked != 0 {
		return m.packedCluster(e.word, in)
	}
	host := int64(e.word & offsetMask)
	reserved := uint64(reservedStd)
	if m.extended {
		reserved |= flagZero
	}
	if e.word&reserved != 0 || host&(m.clusterSize()-1) != 0 {
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "%#016x has reserved bits set", e.word)
	}
	allocated := host != 0 || (m.external && e.word&flagCopied != 0)
	if m.extended {
		return m.subcluster(e, host, allocated, in)
	}
	r := run{n: m.clusterSize() - in}
	switch {
	case e.word&flagZero != 0 && m.version < 3:
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "%#016x is a zero cluster, which version 2 does not have", e.word)
	case e.word&flagZero != 0:
		r.kind = zeroed
	case allocated:
		r.kind, r.host = plain, host+in
	}
	return r, nil
}

func (m *mapping) subcluster(e entry, host int64, allocated bool, in int64) (run, error) {
	alloc, zero := uint32(e.bitmap&allocMask), uint32(e.bitmap>>32)
	if alloc&zero != 0 {
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "a subcluster is both allocated and zero (%#016x)", e.bitmap)
	}
	if alloc != 0 && !allocated {
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "allocated subclusters without a host cluster (%#016x)", e.bitmap)
	}
	sub := m.subclusterSize()
	i := uint(in / sub)
	var r run
	var same uint32 // subclusters of the kind of i
	switch {
	case alloc>>i&1 != 0:
		r.kind, r.host, same = plain, host+in, alloc
	case zero>>i&1 != 0:
		r.kind, same = zeroed, zero
	default:
		r.kind, same = unallocated, ^(alloc | zero)
	}
	count := min(bits.TrailingZeros32(^(same >> i)), subclusters-int(i))
	r.n = (int64(i)+int64(count))*sub - in
	return r, nil
}

func (m *mapping) packedCluster(word uint64, in int64) (run, error) {
	if word&flagCopied != 0 {
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "%#016x: a compressed cluster is marked as not shared", word)
	}
	if m.external {
		return run{}, ondisk.Because(ondisk.ErrCorrupt, "%#016x: a compressed cluster in an external data file", word)
	}
	host, stored := m.packedExtent(word)
	if host == 0 || host >= m.file.Size() {
		return run{}, ondisk.Because(ondisk.ErrCorrupt,
			"compressed cluster at %#x lies beyond the end of the file (%d bytes); the image is truncated", host, m.file.Size())
	}
	return run{n: m.clusterSize() - in, kind: packed, host: host, stored: stored}, nil
}

// packedExtent is where the data of a compressed entry lies. Sectors count from
// the one that holds the first byte; the last one may be shared.
func (g geometry) packedExtent(word uint64) (host, stored int64) {
	x := g.packedBits()
	word &^= flagCopied | flagPacked
	host = int64(word & (1<<x - 1))
	sectors := int64(word>>x) + 1
	return host, sectors*sectorSize - host%sectorSize
}
