package inflate

import "encoding/binary"

const (
	fastIn  = 16              // bytes that two refills may look at
	fastOut = 3 + 258 + 7 + 1 // three literals, a match, and what is written behind it
)

// fast decodes symbols as long as they cannot reach the end of the input or of the
// output, and reports whether the block ended. After a refill there are 56 bits:
// enough for two literals, and a length with what is left; a distance takes another.
func (d *decoder) fast() (end bool, err error) {
	dst, src := d.dst, d.src
	in, out, bits, held := d.in, d.out, d.bits, d.held
	lit, dist := &d.lit, &d.dist
loop:
	for in <= len(src)-fastIn && out <= len(dst)-fastOut {
		bits |= binary.LittleEndian.Uint64(src[in:]) << (held & 63)
		in += int(63-held) >> 3
		held |= 56

		e := lit[bits&(1<<litTableBits-1)]
		if e&kindMask == kindLiteral {
			bits, held = bits>>(e&15), held-uint(e&15)
			dst[out] = byte(e >> 16)
			out++
			e = lit[bits&(1<<litTableBits-1)]
			if e&kindMask == kindLiteral {
				bits, held = bits>>(e&15), held-uint(e&15)
				dst[out] = byte(e >> 16)
				out++
				e = lit[bits&(1<<litTableBits-1)]
			}
		}
		if e&kindMask == kindLink {
			bits, held = bits>>litTableBits, held-litTableBits
			e = lit[(e>>16+uint32(bits)&(1<<(e>>4&15)-1))%uint32(len(lit))]
		}
		bits, held = bits>>(e&15), held-uint(e&15)
		switch e & kindMask {
		case kindBase:
		case kindLiteral:
			dst[out] = byte(e >> 16)
			out++
			continue
		case kindEnd:
			end = true
			break loop
		default:
			err = errCode
			break loop
		}
		extra := e >> 4 & 15
		n := int(e>>16 + uint32(bits)&(1<<extra-1))
		bits, held = bits>>extra, held-uint(extra)

		bits |= binary.LittleEndian.Uint64(src[in:]) << (held & 63)
		in += int(63-held) >> 3
		held |= 56
		e = dist[bits&(1<<distBits-1)]
		if e&kindMask == kindLink {
			bits, held = bits>>distBits, held-distBits
			e = dist[(e>>16+uint32(bits)&(1<<(e>>4&15)-1))%uint32(len(dist))]
		}
		if e&kindMask != kindBase {
			err = errCode
			break
		}
		bits, held = bits>>(e&15), held-uint(e&15)
		extra = e >> 4 & 15
		back := int(e>>16 + uint32(bits)&(1<<extra-1))
		bits, held = bits>>extra, held-uint(extra)
		if back > out {
			err = errDistance
			break
		}
		repeat(dst[:out+n+8], out, back, n)
		out += n
	}
	d.in, d.out, d.bits, d.held = in, out, bits, held
	return end, err
}

// repeat writes the n bytes at out that are already there back bytes before, and
// may spoil up to 7 bytes behind them, which dst has.
func repeat(dst []byte, out, back, n int) {
	from, end := out-back, out+n
	if back >= 8 {
		for ; out < end; out, from = out+8, from+8 {
			binary.LittleEndian.PutUint64(dst[out:], binary.LittleEndian.Uint64(dst[from:]))
		}
		return
	}
	for ; out < end; out, from = out+1, from+1 {
		dst[out] = dst[from]
	}
}
