package xfs

import (
	"hash/crc32"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// clear ends a log as an unmount does: with a record that says so, at its head.
// Everything in it is on its place. LSNs go on from there, so that none in the
// filesystem is ahead of the log.
func (l *xlog) clear(dev blockdev.Writable, s *logState) error {
	cycle := s.last.cycle
	if s.last.pos >= s.head { // the head is a round further
		cycle++
	}
	p := l.unmountRecord(s, cycle)
	n := int64(len(p)) >> logBlockBits
	if err := l.write(dev, p, s.head); err != nil {
		return err
	}
	return l.clearStale(dev, s.head+n, min(l.size-n, logMaxFlying*logMaxRecord>>logBlockBits), cycle)
}

// unmountRecord is what an unmount writes: one operation, in a record as long as
// the log's stripe wants records to be.
func (l *xlog) unmountRecord(s *logState, cycle uint32) []byte {
	unit := max(logBlock, int64(l.v.super.LogSUnit))
	if l.v.super.LogSectSize > logBlock {
		unit = max(unit, int64(l.v.super.LogSectSize))
	}
	headers, size := int64(1), int64(logHeaderFor)
	version := uint32(1)
	if l.v.has(versionBits, fvLogV2) {
		version = logVersion2
	} else {
		unit = logBlock
	}
	if unit > logHeaderFor {
		headers, size = logMaxRecord/logHeaderFor, logMaxRecord
	}
	total := ondisk.AlignUp((headers+1)<<logBlockBits, unit)
	p := make([]byte, total)
	body := p[headers<<logBlockBits:]
	at := uint64(cycle)<<32 | uint64(s.head)
	be.PutUint32(p, logMagic)
	be.PutUint32(p[rhCycle:], cycle)
	be.PutUint32(p[rhVersion:], version)
	be.PutUint32(p[rhLen:], uint32(len(body)))
	be.PutUint64(p[rhLSN:], at)
	be.PutUint64(p[rhTailLSN:], at)
	be.PutUint32(p[rhPrev:], uint32(s.last.pos))
	be.PutUint32(p[rhOps:], 1)
	be.PutUint32(p[rhFormat:], logFormatLE)
	copy(p[rhUUID:], l.v.super.UUID[:])
	be.PutUint32(p[rhSize:], uint32(size))
	be.PutUint32(body, 0xB0C0D0D0) // a transaction that nobody has
	be.PutUint32(body[4:], 8)
	body[8], body[opFlagsAt] = clientLog, opUnmount
	le.PutUint16(body[opHeader:], unmountText)
	l.stampCycles(p, headers, s.head, cycle)
	return p
}

// stampCycles puts cycle numbers into the first words of blocks, and these into
// the headers; then it seals the record.
func (l *xlog) stampCycles(p []byte, headers, pos int64, cycle uint32) {
	at := func(i int64) uint32 {
		if pos+i >= l.size {
			return cycle + 1
		}
		return cycle
	}
	for i := int64(1); i < headers; i++ {
		be.PutUint32(p[i<<logBlockBits:], at(i))
	}
	body := p[headers<<logBlockBits:]
	for i := range int64(len(body)) >> logBlockBits {
		word := p[rhCycleData+i%logCycleData*4:]
		if i >= logCycleData {
			word = p[i/logCycleData<<logBlockBits+4+i%logCycleData*4:]
		}
		copy(word[:4], body[i<<logBlockBits:])
		be.PutUint32(body[i<<logBlockBits:], at(headers+i))
	}
	c := sum(p[:rhLength], rhCRC)
	for i := int64(1); i < ondisk.DivUp(int64(len(body)), logHeaderFor); i++ {
		c = crc32.Update(c, castagnoli, p[i<<logBlockBits:][:rhExtLength])
	}
	le.PutUint32(p[rhCRC:], crc32.Update(c, castagnoli, body))
}

// clearStale makes the n blocks from pos on look older than the head, where torn
// records have left others.
func (l *xlog) clearStale(dev blockdev.Writable, pos, n int64, cycle uint32) error {
	p, err := l.read(pos, n)
	if err != nil {
		return err
	}
	for i := range n {
		want := cycle - 1
		if pos+i >= l.size {
			want = cycle
		}
		if cycleOf(p[i<<logBlockBits:]) == want {
			continue
		}
		if err := l.write(dev, l.staleBlock(l.wrap(pos+i), want), pos+i); err != nil {
			return err
		}
	}
	return nil
}

// staleBlock is an empty record of an older round; in the first there was none.
func (l *xlog) staleBlock(pos int64, cycle uint32) []byte {
	p := make([]byte, logBlock)
	if cycle == 0 {
		return p
	}
	be.PutUint32(p, logMagic)
	be.PutUint32(p[rhCycle:], cycle)
	be.PutUint32(p[rhVersion:], 1)
	if l.v.has(versionBits, fvLogV2) {
		be.PutUint32(p[rhVersion:], logVersion2)
	}
	be.PutUint64(p[rhLSN:], uint64(cycle)<<32|uint64(pos))
	be.PutUint32(p[rhFormat:], logFormatLE)
	copy(p[rhUUID:], l.v.super.UUID[:])
	return p
}

// write puts blocks at pos, around the end of the ring if need be.
func (l *xlog) write(dev blockdev.Writable, p []byte, pos int64) error {
	pos = l.wrap(pos)
	first := min(int64(len(p)), (l.size-pos)<<logBlockBits)
	if _, err := dev.WriteAt(p[:first], l.off+pos<<logBlockBits); err != nil {
		return l.at(pos).Wrap(err)
	}
	if first == int64(len(p)) {
		return nil
	}
	_, err := dev.WriteAt(p[first:], l.off)
	return l.at(0).Wrap(err)
}
