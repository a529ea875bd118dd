package inflate

import "math/bits"

// Sizes of the alphabets, RFC 1951 section 3.2.5 and after.
const (
	maxLiterals  = 288 // literals, end of block and lengths; two are never used
	maxDistances = 32  // two are never used
	maxCode      = 15  // bits
	endOfBlock   = 256
)

// A table maps the next bits of a stream to an entry. Codes that are longer than
// its first level have an entry there that leads to a second one. Entries are
//
//	31..16  literal, base of a length or distance, or place of the second level
//	11..8   extra bits that follow, or bits of the second level
//	7..5    kind
//	3..0    bits of the code; 0 where there is no code
const (
	kindLiteral = 1 << 7
	kindEnd     = 1 << 6 // end of the block, or no code
	kindLink    = 1 << 5

	literalBits  = 11
	distanceBits = 8
	// A prefix that leads to a second level stands for two codes or more, of a
	// complete alphabet.
	literalSize  = 1<<literalBits + maxLiterals/2<<(maxCode-literalBits)
	distanceSize = 1<<distanceBits + maxDistances/2<<(maxCode-distanceBits)
)

// What symbols stand for, as entries without the bits of a code.
var (
	literalEntries  = makeLiteralEntries()
	distanceEntries = makeDistanceEntries()
	codeEntries     = makeCodeEntries()
)

func makeLiteralEntries() (t [maxLiterals]uint32) {
	for i := range endOfBlock {
		t[i] = uint32(i)<<16 | kindLiteral
	}
	t[endOfBlock] = kindEnd
	base := uint32(3)
	for i := range uint32(28) {
		extra := uint32(0)
		if i >= 8 {
			extra = i/4 - 1
		}
		t[257+i] = base<<16 | extra<<8
		base += 1 << extra
	}
	t[285] = 258 << 16
	return t
}

func makeDistanceEntries() (t [maxDistances]uint32) {
	base := uint32(1)
	for i := range uint32(30) {
		extra := uint32(0)
		if i >= 4 {
			extra = i/2 - 1
		}
		t[i] = base<<16 | extra<<8
		base += 1 << extra
	}
	return t
}

func makeCodeEntries() (t [19]uint32) {
	for i := range t {
		t[i] = uint32(i)<<16 | kindLiteral
	}
	return t
}

// noCode is what a table holds where no code leads.
const noCode = kindEnd

// build fills a table for codes of the given lengths. What entries say about a
// symbol goes in; a zero entry stands for a symbol that must not occur.
func build(table []uint32, width uint, lengths []uint8, entries []uint32) error {
	var count [maxCode + 1]int
	longest := uint(0)
	for _, l := range lengths {
		count[l]++
		longest = max(longest, uint(l))
	}
	if err := checkCodes(&count); err != nil {
		return err
	}
	var next [maxCode + 2]uint32
	for l := 1; l <= maxCode; l++ {
		next[l+1] = (next[l] + uint32(count[l])) << 1
	}
	for i := range table[:1<<width] {
		table[i] = noCode
	}
	free := uint32(1) << width
	second := longest - min(width, longest) // bits of each second level
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		code := uint32(bits.Reverse16(uint16(next[l])) >> (16 - l))
		next[l]++
		e := entries[symbol] | uint32(l)
		if entries[symbol] == 0 {
			e = noCode
		}
		if uint(l) <= width {
			for i := code; i < 1<<width; i += 1 << l {
				table[i] = e
			}
			continue
		}
		prefix := code & (1<<width - 1)
		if table[prefix]&kindLink == 0 {
			table[prefix] = free<<16 | uint32(second)<<8 | kindLink
			free += 1 << second
		}
		place := table[prefix] >> 16
		for i := code >> width; i < 1<<second; i += 1 << (uint(l) - width) {
			table[place+i] = e
		}
	}
	return nil
}

// checkCodes wants a complete set of codes, or a single one of one bit, or none.
func checkCodes(count *[maxCode + 1]int) error {
	left, used := 1, 0
	for l := 1; l <= maxCode; l++ {
		used += count[l]
		if left = left<<1 - count[l]; left < 0 {
			return ErrInvalid
		}
	}
	if left > 0 && used > 0 && !(used == 1 && count[1] == 1) {
		return ErrInvalid
	}
	return nil
}

// fixedCodes makes the tables of blocks with fixed codes.
func (d *Decoder) fixedCodes() error {
	l := d.lengths[:maxLiterals]
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	if err := build(d.literals[:], literalBits, l, literalEntries[:]); err != nil {
		return err
	}
	l = d.lengths[:maxDistances]
	for i := range l {
		l[i] = 5
	}
	return build(d.distances[:], distanceBits, l, distanceEntries[:])
}

// codeOrder is the order in which the lengths of the code length codes come.
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads the codes of a block and makes their tables.
func (d *Decoder) dynamicCodes() error {
	head, err := d.bits(14)
	if err != nil {
		return err
	}
	literals, distances, codes := int(head&31)+257, int(head>>5&31)+1, int(head>>10)+4
	if literals > maxLiterals-2 || distances > maxDistances-2 {
		return ErrInvalid
	}
	var lengths [19]uint8
	for _, i := range codeOrder[:codes] {
		l, err := d.bits(3)
		if err != nil {
			return err
		}
		lengths[i] = uint8(l)
	}
	const width = 7
	if err := build(d.distances[:], width, lengths[:], codeEntries[:]); err != nil {
		return err
	}
	all := d.lengths[:literals+distances]
	if err := d.codeLengths(all, width); err != nil {
		return err
	}
	if all[endOfBlock] == 0 {
		return ErrInvalid
	}
	if err := build(d.literals[:], literalBits, all[:literals], literalEntries[:]); err != nil {
		return err
	}
	return build(d.distances[:], distanceBits, all[literals:], distanceEntries[:])
}

// codeLengths reads the run-length coded lengths of both alphabets.
func (d *Decoder) codeLengths(all []uint8, width uint) error {
	for i := 0; i < len(all); {
		e, err := d.symbol(d.distances[:], width)
		if err != nil {
			return err
		}
		symbol := e >> 16
		if symbol < 16 {
			all[i] = uint8(symbol)
			i++
			continue
		}
		value, base, extra := uint8(0), 3, uint(2)
		switch symbol {
		case 16:
			if i == 0 {
				return ErrInvalid
			}
			value = all[i-1]
		case 17:
			extra = 3
		case 18:
			base, extra = 11, 7
		}
		more, err := d.bits(extra)
		if err != nil {
			return err
		}
		run := base + int(more)
		if run > len(all)-i {
			return ErrInvalid
		}
		for range run {
			all[i] = value
			i++
		}
	}
	return nil
}
