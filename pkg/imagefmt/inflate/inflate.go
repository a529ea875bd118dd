package inflate

import (
	"encoding/binary"
	"errors"
)

// The errors of [Decoder.Decode].
var (
	ErrInvalid = errors.New("inflate: not a deflate stream")
	ErrShort   = errors.New("inflate: the input ends within the stream")
)

// Decoder holds the tables of one stream at a time. Its zero value is ready; it
// is large and meant to be used again. It is not safe for concurrent use.
type Decoder struct {
	literals  [literalSize]uint32
	distances [distanceSize]uint32
	lengths   [maxLiterals + maxDistances]uint8

	src []byte
	pos int    // of the next byte of src
	acc uint64 // bits that were read and not used, the next one lowest
	n   uint   // how many of them there are
	dst []byte
	out int // bytes of dst that are done
}

// Decode decodes a raw deflate stream from the beginning of src until dst is full
// or the stream ends, and returns how many bytes that gave. Bytes after the
// stream, and a stream that would go on, are not looked at.
func (d *Decoder) Decode(dst, src []byte) (int, error) {
	d.src, d.pos, d.acc, d.n = src, 0, 0, 0
	d.dst, d.out = dst, 0
	defer func() { d.src, d.dst = nil, nil }()
	for last := false; !last && d.out < len(d.dst); {
		head, err := d.bits(3)
		if err != nil {
			return d.out, err
		}
		last = head&1 != 0
		switch head >> 1 {
		case 0:
			err = d.stored()
		case 1:
			if err = d.fixedCodes(); err == nil {
				err = d.block()
			}
		case 2:
			if err = d.dynamicCodes(); err == nil {
				err = d.block()
			}
		default:
			err = ErrInvalid
		}
		if err != nil {
			return d.out, err
		}
	}
	return d.out, nil
}

// refill tops the accumulator up, to 56 bits or more while src lasts.
func (d *Decoder) refill() {
	if d.pos+8 <= len(d.src) {
		d.acc |= binary.LittleEndian.Uint64(d.src[d.pos:]) << d.n
		d.pos += int((63 - d.n) >> 3)
		d.n |= 56
		return
	}
	for d.n <= 56 && d.pos < len(d.src) {
		d.acc |= uint64(d.src[d.pos]) << d.n
		d.pos++
		d.n += 8
	}
}

// bits takes k bits, at most 32.
func (d *Decoder) bits(k uint) (uint32, error) {
	if d.n < k {
		if d.refill(); d.n < k {
			return 0, ErrShort
		}
	}
	v := uint32(d.acc & (1<<k - 1))
	d.drop(k)
	return v, nil
}

func (d *Decoder) drop(k uint) {
	d.acc >>= k
	d.n -= k
}

// stored copies a block that is not compressed.
func (d *Decoder) stored() error {
	d.drop(d.n % 8)
	size, err := d.bits(16)
	if err != nil {
		return err
	}
	check, err := d.bits(16)
	if err != nil {
		return err
	}
	if size^check != 0xffff {
		return ErrInvalid
	}
	d.pos -= int(d.n / 8) // whole bytes that were read ahead
	d.acc, d.n = 0, 0
	n := min(int(size), len(d.dst)-d.out)
	if n > len(d.src)-d.pos {
		return ErrShort
	}
	copy(d.dst[d.out:], d.src[d.pos:d.pos+n])
	d.pos += n
	d.out += n
	return nil
}

// block decodes the symbols of a block until its end or that of dst.
func (d *Decoder) block() error {
	if done, err := d.fast(); done || err != nil {
		return err
	}
	return d.careful()
}

// slack is how far from the end of dst fast may work: the longest match, and
// eight bytes that a copy may write too many.
const slack = 258 + 8

// fast decodes while neither src nor dst can end within a step. done means that
// the block has ended.
func (d *Decoder) fast() (done bool, err error) {
	src, dst := d.src, d.dst
	pos, acc, n, out := d.pos, d.acc, d.n, d.out
	for pos+16 <= len(src) && out+slack <= len(dst) {
		acc |= binary.LittleEndian.Uint64(src[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := d.literals[acc&(1<<literalBits-1)]
		if e&kindLiteral != 0 {
			dst[out] = byte(e >> 16)
			out++
			acc >>= e & 15
			n -= uint(e & 15)
			e = d.literals[acc&(1<<literalBits-1)]
			if e&kindLiteral != 0 {
				dst[out] = byte(e >> 16)
				out++
				acc >>= e & 15
				n -= uint(e & 15)
				e = d.literals[acc&(1<<literalBits-1)]
				if e&kindLiteral != 0 {
					dst[out] = byte(e >> 16)
					out++
					acc >>= e & 15
					n -= uint(e & 15)
					continue
				}
			}
			acc |= binary.LittleEndian.Uint64(src[pos:]) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		if e&kindLink != 0 {
			e = d.literals[(e>>16+uint32(acc>>literalBits)&(1<<(e>>8&15)-1))%literalSize]
		}
		acc >>= e & 15
		n -= uint(e & 15)
		if e&kindLiteral != 0 {
			dst[out] = byte(e >> 16)
			out++
			continue
		}
		if e&kindEnd != 0 {
			d.pos, d.acc, d.n, d.out = pos, acc, n, out
			if e&15 == 0 {
				return false, ErrInvalid
			}
			return true, nil
		}
		extra := uint(e >> 8 & 15)
		length := int(e>>16) + int(acc&(1<<extra-1))
		acc >>= extra
		n -= extra
		e = d.distances[acc&(1<<distanceBits-1)]
		if e&kindLink != 0 {
			e = d.distances[(e>>16+uint32(acc>>distanceBits)&(1<<(e>>8&15)-1))%distanceSize]
		}
		if e&kindEnd != 0 {
			return false, ErrInvalid
		}
		acc >>= e & 15
		n -= uint(e & 15)
		extra = uint(e >> 8 & 15)
		distance := int(e>>16) + int(acc&(1<<extra-1))
		acc >>= extra
		n -= extra
		if distance > out {
			return false, ErrInvalid
		}
		repeat(dst[:out+length+8], out, distance, length)
		out += length
	}
	d.pos, d.acc, d.n, d.out = pos, acc, n, out
	return false, nil
}

// repeat copies n bytes from distance before out to out. It may write up to
// seven bytes more, for which dst has room.
func repeat(dst []byte, out, distance, n int) {
	switch {
	case distance >= 8:
		from := dst[out-distance:]
		to := dst[out:]
		for i := 0; i < n; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(from[i:]))
		}
	case distance == 1:
		v := uint64(dst[out-1]) * 0x0101010101010101
		to := dst[out:]
		for i := 0; i < n; i += 8 {
			binary.LittleEndian.PutUint64(to[i:], v)
		}
	default:
		for i := out; i < out+n; i++ {
			dst[i] = dst[i-distance]
		}
	}
}

// careful decodes one symbol at a time, near the ends of src and dst.
func (d *Decoder) careful() error {
	for d.out < len(d.dst) {
		e, err := d.symbol(d.literals[:], literalBits)
		switch {
		case err != nil:
			return err
		case e&kindLiteral != 0:
			d.dst[d.out] = byte(e >> 16)
			d.out++
			continue
		case e&kindEnd != 0:
			return nil
		}
		length, err := d.value(e)
		if err != nil {
			return err
		}
		if e, err = d.symbol(d.distances[:], distanceBits); err != nil {
			return err
		}
		distance, err := d.value(e)
		if err != nil {
			return err
		}
		if distance > d.out {
			return ErrInvalid
		}
		for end := min(d.out+length, len(d.dst)); d.out < end; d.out++ {
			d.dst[d.out] = d.dst[d.out-distance]
		}
	}
	return nil
}

// symbol decodes one code by a table whose first level has width bits.
func (d *Decoder) symbol(table []uint32, width uint) (uint32, error) {
	d.refill()
	e := table[d.acc&(1<<width-1)]
	if e&kindLink != 0 {
		e = table[e>>16+uint32(d.acc>>width)&(1<<(e>>8&15)-1)]
	}
	k := uint(e & 15)
	if k == 0 {
		return 0, ErrInvalid
	}
	if k > d.n {
		return 0, ErrShort
	}
	d.drop(k)
	return e, nil
}

// value is the length or the distance of an entry, with its extra bits.
func (d *Decoder) value(e uint32) (int, error) {
	extra, err := d.bits(uint(e >> 8 & 15))
	return int(e>>16) + int(extra), err
}
