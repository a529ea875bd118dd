package xfs

import (
	"bytes"
	"math/bits"
)

// bufFormat describes a buffer of which parts were logged.
type bufFormat struct {
	bufKey
	flags uint16
	chunk []byte // a bit for each 128 bytes
}

func (r *logReplay) bufFormat(it *logItem) (bufFormat, error) {
	p := it.regions[0]
	if len(p) < bufMapAt {
		return bufFormat{}, r.at().Corrupt("a buffer item of %d bytes", len(p))
	}
	f := bufFormat{flags: le.Uint16(p[4:])}
	f.bufKey = bufKey{int64(le.Uint64(p[8:])), int64(le.Uint16(p[6:]))}
	words := int64(le.Uint32(p[16:]))
	if words*4 > int64(len(p)-bufMapAt) {
		return f, r.at().Corrupt("a buffer with a map of %d words in %d bytes", words, len(p))
	}
	f.chunk = p[bufMapAt:][:words*4]
	return f, nil
}

func (f *bufFormat) bit(i int) bool { return f.chunk[i/8]&(1<<(i%8)) != 0 }

// run is the next run of set bits from i on; 0 bits when there is none.
func (f *bufFormat) run(i int) (start, n int) {
	end := len(f.chunk) * 8
	for i < end && !f.bit(i) {
		if i%8 == 0 {
			if z := bits.TrailingZeros8(f.chunk[i/8]); z > 0 {
				i += z
				continue
			}
		}
		i++
	}
	start = i
	for i < end && f.bit(i) {
		i++
	}
	return start, i - start
}

// eachPart calls visit with what was logged of a buffer of size bytes, by its
// place. A run of chunks may be in several regions.
func (r *logReplay) eachPart(it *logItem, f bufFormat, size int, visit func(off int, p []byte) error) error {
	region := 1
	for bit, n := f.run(0); n > 0; bit, n = f.run(bit) {
		p, ok := it.region(region)
		if region++; !ok || len(p) < bufChunk || len(p)%bufChunk != 0 {
			return r.at().Corrupt("region %d of a buffer has %d bytes", region-1, len(p))
		}
		n = min(n, len(p)/bufChunk)
		if (bit+n)*bufChunk > size {
			return r.at().Corrupt("a buffer of %d bytes has data behind its end", size)
		}
		if err := visit(bit*bufChunk, p[:n*bufChunk]); err != nil {
			return err
		}
		bit += n
	}
	return nil
}

// buffer replays the parts of a buffer, unless it is freed later in the log, or
// is newer than the transaction.
func (r *logReplay) buffer(it *logItem) error {
	f, err := r.bufFormat(it)
	if err != nil {
		return err
	}
	if f.flags&bufCancel != 0 {
		if r.cancels[f.bufKey]--; r.cancels[f.bufKey] <= 0 {
			delete(r.cancels, f.bufKey)
		}
		return nil
	}
	if r.cancels[f.bufKey] > 0 || uint8(f.flags&bufQuotas>>2)&r.quotaOff != 0 {
		return nil
	}
	p, off, err := r.load(f.bufKey)
	if err != nil {
		return err
	}
	if f.flags&bufInode != 0 {
		if err := r.unlinkedIn(it, f, p); err != nil {
			return err
		}
		return r.store(p, off)
	}
	if r.isNewer(p) {
		return nil
	}
	if err := r.eachPart(it, f, len(p), func(off int, part []byte) error {
		copy(p[off:], part)
		return nil
	}); err != nil {
		return err
	}
	r.stampNew(p)
	return r.store(p, off)
}

// isNewer reports whether a buffer was written after the transaction that is
// replayed. What does not describe itself, or belongs to an older filesystem,
// is replayed always.
func (r *logReplay) isNewer(p []byte) bool {
	if !r.v.v5() {
		return false
	}
	s, ok := stampOf(p)
	if !ok || be.Uint32(p) == remoteAttrMagic {
		return false
	}
	if s.uuid != 0 && !bytes.Equal(p[s.uuid:][:16], r.v.uuid[:]) {
		return false
	}
	have := lsn(be.Uint64(p[s.lsn:]))
	return have != 0 && have != noLSN && have >= r.now
}

// stampNew marks a replayed buffer with the place of its transaction in the log,
// and seals it.
func (r *logReplay) stampNew(p []byte) {
	if !r.v.v5() {
		return
	}
	s, ok := stampOf(p)
	if !ok {
		return
	}
	if be.Uint32(p) != remoteAttrMagic {
		be.PutUint64(p[s.lsn:], uint64(r.now))
	}
	if be.Uint32(p) == superMagic {
		p = p[:min(int64(len(p)), r.v.sectorSize)]
	}
	s.seal(p)
}

// unlinkedIn replays a buffer of inodes, of which only the links of deleted
// ones are logged this way.
func (r *logReplay) unlinkedIn(it *logItem, f bufFormat, p []byte) error {
	return r.eachPart(it, f, len(p), func(off int, part []byte) error {
		for at := off &^ (r.v.inodeSize - 1); at+r.v.inodeSize <= len(p); at += r.v.inodeSize {
			next := at + inNextUnlinked
			if next < off {
				continue
			}
			if next+4 > off+len(part) {
				break
			}
			value := part[next-off:][:4]
			if be.Uint32(value) == 0 {
				return r.at().Corrupt("an inode is linked to inode 0")
			}
			copy(p[next:], value)
			if r.v.v5() {
				inodeStamp.seal(p[at:][:r.v.inodeSize])
			}
		}
		return nil
	})
}
