package ext

// Fast commits lie behind the ring: records of tag, length and content, little-
// endian. They change the filesystem by name rather than by block, and are
// recognised here, not replayed.
const (
	fcTail = 8
	fcHead = 9

	fcTagSize  = 4
	fcHeadSize = 8 // features, tid
)

// hasFastCommit reports whether a whole fast commit follows the transaction
// before next. The first starts with a head that names next; one block between
// the ring and the fast commits is never used.
func (j *journal) hasFastCommit(next uint32) (bool, error) {
	if !j.has(jiFastCommit) {
		return false, nil
	}
	first := j.last + 1
	c := fastCommit{tid: next}
	for n := first; n < j.super.MaxLen && len(c.buf) < maxFastCommit; n++ {
		block, err := j.read(n)
		if err != nil {
			return false, err
		}
		if n == first && !headNames(block, next) {
			return false, nil
		}
		c.buf = append(c.buf, block...)
		if done, valid := c.ends(); done {
			return valid, nil
		}
	}
	return false, nil
}

// maxFastCommit is more than any kernel writes before the first tail.
const maxFastCommit = 16 << 20

// fastCommit is what was read so far of the first one; pos is the next record.
type fastCommit struct {
	buf []byte
	pos int
	tid uint32
}

func headNames(p []byte, tid uint32) bool {
	return le.Uint16(p) == fcHead && le.Uint16(p[2:]) >= fcHeadSize && le.Uint32(p[fcTagSize+4:]) == tid
}

// ends looks for the tail, which holds tid and a checksum of all before it.
func (c *fastCommit) ends() (done, valid bool) {
	for c.pos+fcTagSize <= len(c.buf) {
		p := c.buf[c.pos:]
		tag, n, body := le.Uint16(p), int(le.Uint16(p[2:])), p[fcTagSize:]
		switch {
		case tag == fcTail && len(body) < 8:
			return false, false
		case tag == fcTail:
			sum := crc32c(0, c.buf[:c.pos+fcTagSize+4])
			return true, le.Uint32(body) == c.tid && le.Uint32(body[4:]) == sum
		case tag == 0 || tag > fcHead:
			return true, false
		}
		c.pos += fcTagSize + n
	}
	return false, false
}
