package vmdk

// usage marks the sectors that are used of a window of a file.
type usage struct {
	off   int64
	words []uint64 // one bit a sector
	count int64
}

func newUsage(off, n int64) *usage {
	count := n / sectorSize
	return &usage{off: off, words: make([]uint64, (count+63)/64), count: count}
}

// mark notes n bytes from off. It returns the first place of the window that was
// marked before.
func (u *usage) mark(off, n int64) (at int64, twice bool) {
	first := max(off-u.off, 0) / sectorSize
	last := min((off+n-u.off+sectorSize-1)/sectorSize, u.count)
	at = -1
	for s := first; s < last; {
		// All bits of one word that the range has.
		bits := min(64-s%64, last-s)
		mask := ^uint64(0) >> (64 - bits) << (s % 64)
		if u.words[s/64]&mask != 0 && at < 0 {
			at = u.off + s*sectorSize
		}
		u.words[s/64] |= mask
		s += bits
	}
	return at, at >= 0
}

// gaps tells of every run without a mark, before end, of at least least bytes. A
// shorter one is what alignment leaves.
func (u *usage) gaps(end, least int64, tell func(off, n int64)) {
	limit := min((end-u.off)/sectorSize, u.count)
	start := int64(-1)
	for s := int64(0); s <= limit; s++ {
		if s%64 == 0 && s+64 <= limit && start < 0 && u.words[s/64] == ^uint64(0) {
			s += 63
			continue
		}
		used := s == limit || u.words[s/64]>>(s%64)&1 != 0
		switch {
		case !used && start < 0:
			start = s
		case used && start >= 0:
			if n := (s - start) * sectorSize; n >= least {
				tell(u.off+start*sectorSize, n)
			}
			start = -1
		}
	}
}
