package ext

import (
	"bytes"
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// logEntry is a descriptor or revoke block of a committed transaction.
type logEntry struct {
	kind uint32
	pos  uint32
	seq  uint32
}

// logScan finds the transactions of the log that were committed. What follows
// the last of them was being written when the guest stopped, and may be torn: a
// wrong checksum ends the log. But one that a good commit block follows means
// that committed blocks are damaged.
type logScan struct {
	j         *journal
	pos, seq  uint32
	next      uint32 // the sequence number after the last good transaction
	used      uint32 // blocks of the ring that were passed
	pending   []logEntry
	committed []logEntry
	sum       transactionSum
	time      commitTime // of the last transaction
	suspect   error      // the first wrong checksum
}

type commitTime struct {
	sec  uint64
	nsec uint32
}

func (t commitTime) before(u commitTime) bool {
	return t.sec < u.sec || t.sec == u.sec && t.nsec < u.nsec
}

// scan returns the blocks to replay, and the sequence number after the last
// transaction.
func (j *journal) scan(ctx context.Context) (todo []logEntry, next uint32, err error) {
	s := &logScan{j: j, pos: j.super.Start, seq: j.super.Sequence, next: j.super.Sequence}
	s.sum.reset()
	for s.used < j.last-j.first {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		block, err := j.read(s.pos)
		if err != nil {
			return nil, 0, err
		}
		if be.Uint32(block) != journalMagic || be.Uint32(block[8:]) != s.seq {
			break
		}
		more, err := s.step(be.Uint32(block[4:]), block)
		if err != nil {
			return nil, 0, err
		}
		if !more {
			break
		}
	}
	return s.committed, s.next, nil
}

// step takes one block with the right magic and sequence; false at the end.
func (s *logScan) step(kind uint32, block []byte) (bool, error) {
	switch kind {
	case blockDescriptor:
		return true, s.descriptor(block)
	case blockRevoke:
		s.verifyTail(block)
		s.pending = append(s.pending, logEntry{kind, s.pos, s.seq})
		s.advance(1)
		return true, nil
	case blockCommit:
		return s.commit(block)
	}
	return false, nil
}

func (s *logScan) advance(n uint32) {
	s.pos = s.j.after(s.pos, n)
	s.used += n
}

func (s *logScan) doubt(what string) {
	if s.suspect == nil {
		s.suspect = ondisk.At(layer, "journal", ondisk.NoOffset).In("transaction %d", s.seq).Corrupt("wrong checksum of a %s", what)
	}
}

func (s *logScan) verifyTail(block []byte) {
	if s.j.checksums() && !s.j.tailOK(block) {
		s.doubt("descriptor or revoke block")
	}
}

// descriptor passes a descriptor block and the data blocks that it describes.
func (s *logScan) descriptor(block []byte) error {
	s.verifyTail(block)
	s.pending = append(s.pending, logEntry{blockDescriptor, s.pos, s.seq})
	tags := s.j.tags(block)
	if uint32(len(tags)) >= s.j.last-s.j.first {
		s.used = s.j.last - s.j.first // no ring holds that: the log ends here
		return nil
	}
	if err := s.verifyData(block, tags); err != nil {
		return err
	}
	s.advance(1 + uint32(len(tags)))
	return nil
}

// verifyData reads data blocks where only they tell whether a transaction is
// whole: the old checksum covers them, and with asynchronous commits the commit
// block may have reached the disk before them.
func (s *logScan) verifyData(block []byte, tags []journalTag) error {
	old := s.j.super.Compat&jcChecksum != 0
	async := s.j.has(jiAsyncCommit) && s.j.checksums()
	if !old && !async {
		return nil
	}
	s.sum.add(block)
	for i, tag := range tags {
		data, err := s.j.read(s.j.after(s.pos, uint32(i)+1))
		if err != nil {
			return err
		}
		s.sum.add(data)
		if async && !s.j.dataOK(tag, s.seq, data) {
			s.doubt("data block")
		}
	}
	return nil
}

func (s *logScan) commit(block []byte) (bool, error) {
	t := commitTime{be.Uint64(block[0x30:]), be.Uint32(block[0x38:])}
	if !s.commitOK(block) {
		s.doubt("commit block")
	} else if s.suspect != nil {
		if t.before(s.time) {
			return false, nil // left over from an earlier life of the log
		}
		return false, s.suspect
	}
	if s.suspect == nil {
		s.committed = append(s.committed, s.pending...)
		s.time, s.next = t, s.seq+1
	}
	s.pending = s.pending[:0]
	s.sum.reset()
	s.seq++
	s.advance(1)
	return true, nil
}

func (s *logScan) commitOK(block []byte) bool {
	if s.j.checksums() {
		return s.j.commitOK(block)
	}
	if s.j.super.Compat&jcChecksum == 0 {
		return true
	}
	kind, size, sum := block[0xC], block[0xD], be.Uint32(block[0x10:])
	if kind == 0 && size == 0 && sum == 0 {
		return true // written before checksums were on
	}
	return kind == 1 && size == 4 && sum == uint32(s.sum)
}

// transactionSum is the old checksum: CRC-32, most significant bit first and
// without a final inversion, over descriptor and data blocks.
type transactionSum uint32

func (c *transactionSum) reset() { *c = transactionSum(allOnes) }

func (c *transactionSum) add(p []byte) {
	x := uint32(*c)
	for _, b := range p {
		x = x<<8 ^ crc32BETable[byte(x>>24)^b]
	}
	*c = transactionSum(x)
}

var crc32BETable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04C11DB7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// tailOK checks the checksum at the end of a descriptor or revoke block.
func (j *journal) tailOK(block []byte) bool {
	end := len(block) - 4
	sum := crc32c(crc32c(j.seed, block[:end]), zeros[:4])
	return sum == be.Uint32(block[end:])
}

func (j *journal) commitOK(block []byte) bool {
	const at = 0x10
	sum := crc32c(j.seed, block[:at])
	sum = crc32c(sum, zeros[:4])
	sum = crc32c(sum, block[at+4:])
	return sum == be.Uint32(block[at:])
}

// dataOK checks a data block, as it lies in the log, against its tag.
func (j *journal) dataOK(tag journalTag, seq uint32, data []byte) bool {
	if !j.checksums() {
		return true
	}
	var b [4]byte
	be.PutUint32(b[:], seq)
	sum := crc32c(crc32c(j.seed, b[:]), data)
	if j.has(jiChecksumV3) {
		return sum == tag.sum
	}
	return sum&0xFFFF == tag.sum
}

// journalTag tells where a data block of the log belongs.
type journalTag struct {
	block uint64
	sum   uint32
	flags uint16
}

const (
	tagEscape   = 1 // the block began with the journal's magic, zero in the log
	tagSameUUID = 2 // no UUID follows
	tagLast     = 8
)

// tags decodes a descriptor block. Any bytes give a list that fits the block.
func (j *journal) tags(block []byte) []journalTag {
	if j.checksums() {
		block = block[:len(block)-4]
	}
	size := j.tagSize()
	var out []journalTag
	for pos := journalHeader; pos+size <= len(block); {
		p := block[pos:]
		tag := journalTag{block: uint64(be.Uint32(p)), flags: be.Uint16(p[6:])}
		if j.has(jiChecksumV3) {
			tag.sum = be.Uint32(p[12:])
		} else {
			tag.sum = uint32(be.Uint16(p[4:]))
		}
		if j.has(ji64Bit) {
			tag.block |= uint64(be.Uint32(p[8:])) << 32
		}
		out = append(out, tag)
		pos += size
		if tag.flags&tagSameUUID == 0 {
			pos += 16
		}
		if tag.flags&tagLast != 0 {
			break
		}
	}
	return out
}

func (j *journal) tagSize() int {
	if j.has(jiChecksumV3) {
		return 16
	}
	size := 12
	if j.has(jiChecksumV2) {
		size += 2
	}
	if !j.has(ji64Bit) {
		size -= 4
	}
	return size
}

// escaped is what the first bytes of an escaped data block really are.
var escaped = be.AppendUint32(nil, journalMagic)

// unescape restores a data block.
func (t journalTag) unescape(data []byte) {
	if t.flags&tagEscape != 0 && bytes.Equal(data[:4], zeros[:4]) {
		copy(data, escaped)
	}
}
