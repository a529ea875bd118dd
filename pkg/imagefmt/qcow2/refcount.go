package qcow2

import "encoding/binary"

// refcounts is a refcount block: counts of 1<<order bits. Counts narrower than a
// byte fill it from its low end; wider ones are big-endian.
type refcounts struct {
	order uint
	block []byte
}

func (r refcounts) get(i int64) uint64 {
	switch r.order {
	case 3:
		return uint64(r.block[i])
	case 4:
		return uint64(binary.BigEndian.Uint16(r.block[i*2:]))
	case 5:
		return uint64(binary.BigEndian.Uint32(r.block[i*4:]))
	case 6:
		return binary.BigEndian.Uint64(r.block[i*8:])
	}
	bit := uint(i) << r.order
	return uint64(r.block[bit/8]>>(bit%8)) & maxRefcount(r.order)
}

// set stores v, which must not be more than [maxRefcount].
func (r refcounts) set(i int64, v uint64) {
	switch r.order {
	case 3:
		r.block[i] = byte(v)
	case 4:
		binary.BigEndian.PutUint16(r.block[i*2:], uint16(v))
	case 5:
		binary.BigEndian.PutUint32(r.block[i*4:], uint32(v))
	case 6:
		binary.BigEndian.PutUint64(r.block[i*8:], v)
	default:
		bit := uint(i) << r.order
		mask := byte(maxRefcount(r.order)) << (bit % 8)
		r.block[bit/8] = r.block[bit/8]&^mask | byte(v)<<(bit%8)
	}
}

// maxRefcount is the highest count of 1<<order bits. QEMU keeps the top bit of
// the widest ones free.
func maxRefcount(order uint) uint64 {
	if order == maxRefcountOrder {
		return 1<<63 - 1
	}
	return 1<<(1<<order) - 1
}

// blockEntries is how many clusters one refcount block counts.
func (g geometry) blockEntries(order uint) int64 { return g.clusterSize() * 8 >> order }
