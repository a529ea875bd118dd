package ext

import "math/bits"

// bitmap is a block or inode bitmap: bit n is bit n%8 of byte n/8.
type bitmap []byte

func (b bitmap) has(n uint32) bool { return b[n/8]&(1<<(n%8)) != 0 }
func (b bitmap) set(n uint32)      { b[n/8] |= 1 << (n % 8) }
func (b bitmap) clear(n uint32)    { b[n/8] &^= 1 << (n % 8) }

// setFrom sets every bit from n to the end: padding counts as used.
func (b bitmap) setFrom(n uint32) {
	end := uint32(len(b)) * 8
	for ; n < end && n%8 != 0; n++ {
		b.set(n)
	}
	for i := n / 8; i < uint32(len(b)); i++ {
		b[i] = 0xFF
	}
}

// zeros counts the clear bits below n.
func (b bitmap) zeros(n uint32) uint32 {
	var set int
	full := n / 8
	for _, c := range b[:full] {
		set += bits.OnesCount8(c)
	}
	if n%8 != 0 {
		set += bits.OnesCount8(b[full] & (1<<(n%8) - 1))
	}
	return n - uint32(set)
}

// span is a run of bits.
type span struct{ at, n uint32 }

// nextClear finds the first run of clear bits at or after from and below limit;
// n is 0 when there is none.
func (b bitmap) nextClear(from, limit uint32) span {
	for from < limit && b.has(from) {
		if from%8 == 0 && b[from/8] == 0xFF {
			from += 8
			continue
		}
		from++
	}
	if from >= limit {
		return span{}
	}
	end := from
	for end < limit && !b.has(end) {
		if end%8 == 0 && b[end/8] == 0 {
			end += 8
			continue
		}
		end++
	}
	return span{from, min(end, limit) - from}
}

// findRun finds the first run of want clear bits at or after from, else the
// longest one; n is at most want.
func (b bitmap) findRun(from, limit, want uint32) span {
	var best span
	for from < limit {
		s := b.nextClear(from, limit)
		if s.n == 0 {
			break
		}
		if s.n >= want {
			return span{s.at, want}
		}
		if s.n > best.n {
			best = s
		}
		from = s.at + s.n
	}
	return best
}

func (b bitmap) flip(n uint32) { b[n/8] ^= 1 << (n % 8) }
