package inflate

import "math/bits"

const (
	maxCodeBits  = 15
	litTableBits = 10 // of a code that the first look finds
	distBits     = 8
	lenTableBits = 7
)

// A table entry says what a code stands for:
//
//	0..3   bits of the code
//	4..7   extra bits that follow; for a link, bits that index its table
//	8..10  kind
//	16..31 literal, base of a length or distance, or where a link leads
const (
	kindLiteral = 0 << 8
	kindBase    = 1 << 8 // of a length or a distance, to which extra bits are added
	kindEnd     = 2 << 8 // of the block
	kindLink    = 3 << 8 // to a table for codes that are longer than one look
	kindNone    = 4 << 8 // no such code
	kindMask    = 7 << 8
)

// symbols is what the codes of an alphabet stand for: entries without their
// length.
type symbols []uint32

var (
	literals  = literalSymbols()
	distances = distanceSymbols()
	lengths   = lengthSymbols()
)

// literalSymbols are 256 bytes, the end, and the lengths of RFC 1951, 3.2.5. The
// last two codes of the alphabet do not occur.
func literalSymbols() symbols {
	s := make(symbols, 286)
	for i := range uint32(256) {
		s[i] = kindLiteral | i<<16
	}
	s[256] = kindEnd
	base := uint32(3)
	for i := range uint32(28) {
		extra := uint32(0)
		if i >= 8 {
			extra = i/4 - 1
		}
		s[257+i] = kindBase | extra<<4 | base<<16
		base += 1 << extra
	}
	s[285] = kindBase | 258<<16
	return s
}

func distanceSymbols() symbols {
	s := make(symbols, 30)
	base := uint32(1)
	for i := range uint32(30) {
		extra := uint32(0)
		if i >= 4 {
			extra = i/2 - 1
		}
		s[i] = kindBase | extra<<4 | base<<16
		base += 1 << extra
	}
	return s
}

// lengthSymbols are those of the code that the lengths of the others are packed
// with, RFC 1951, 3.2.7.
func lengthSymbols() symbols {
	s := make(symbols, 19)
	for i := range uint32(19) {
		s[i] = i << 16
	}
	return s
}

// build fills a table for a canonical code: lens has the bits of each symbol's
// code, 0 for those without one. The first look takes rootBits; longer codes have
// tables behind the first one. It fails on lengths that make no code. As zlib does, it
// lets a code be incomplete only when it has no symbol but one, of one bit.
func build(table []uint32, rootBits uint, lens []uint8, what symbols) bool {
	var count, next [maxCodeBits + 2]int
	for _, n := range lens {
		count[n]++
	}
	used := len(lens) - count[0]
	count[0] = 0
	space := 1 << maxCodeBits // codes of the greatest length that are left
	for n := 1; n <= maxCodeBits; n++ {
		next[n+1] = next[n] + count[n]
		space -= count[n] << (maxCodeBits - n)
		if space < 0 {
			return false
		}
	}
	if space > 0 && (used > 1 || used == 1 && count[1] != 1) {
		return false
	}
	spread(table[:1<<rootBits], 0, 0, kindNone)
	var order [288]uint16 // symbols by the lengths of their codes
	for sym, n := range lens {
		if n == 0 {
			continue
		}
		if sym >= len(what) {
			return false
		}
		order[next[n]] = uint16(sym)
		next[n]++
	}
	return fill(table, rootBits, order[:used], lens, what, count)
}

// fill enters the codes in ascending order.
func fill(table []uint32, rootBits uint, order []uint16, lens []uint8, what symbols, count [maxCodeBits + 2]int) bool {
	var code uint32 // its bits, the first one highest
	var last uint
	free := uint32(1) << rootBits // where the next linked table begins
	link, linkBits := ^uint32(0), uint(0)
	var base uint32
	for _, sym := range order {
		n := uint(lens[sym])
		code <<= n - last
		last = n
		reversed := uint32(bits.Reverse16(uint16(code)) >> (16 - n))
		e := what[sym]
		if n <= rootBits {
			spread(table[:1<<rootBits], reversed, n, e|uint32(n))
			code++
			continue
		}
		if prefix := reversed & (1<<rootBits - 1); prefix != link {
			link, linkBits = prefix, subtableBits(count, n, rootBits)
			base = free
			free += 1 << linkBits
			if int(free) > len(table) {
				return false
			}
			spread(table[base:free], 0, 0, kindNone)
			table[link] = kindLink | uint32(rootBits) | uint32(linkBits)<<4 | base<<16
		}
		spread(table[base:free], reversed>>rootBits, n-rootBits, e|uint32(n-rootBits))
		count[n]--
		code++
	}
	return true
}

// subtableBits is how many bits index a linked table whose first code has n bits:
// as many as it takes until the codes that are left fill it.
func subtableBits(count [maxCodeBits + 2]int, n, rootBits uint) uint {
	size := n - rootBits
	for have := count[n]; have < 1<<size && size < maxCodeBits-rootBits; {
		size++
		have = have<<1 + count[rootBits+size]
	}
	return size
}

// spread enters e wherever the low n bits of the index are code.
func spread(table []uint32, code uint32, n uint, e uint32) {
	for i := int(code); i < len(table); i += 1 << n {
		table[i] = e
	}
}
