package inflate

import (
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Block decodes the stream that src begins with into dst. It returns how many
// bytes it gave, and how many of src the stream has; what follows the stream is
// not looked at. A stream that gives more than dst holds fills it, and used is
// then -1, since its end was not seen. A stream that is broken or ends early is
// ondisk.ErrCorrupt, and what dst holds is worth nothing. Block is safe for
// concurrent use, and takes no memory of its own but a few tables that are kept.
func Block(dst, src []byte) (n, used int, err error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.dst, d.src = dst, src
	d.in, d.out, d.bits, d.held = 0, 0, 0, 0
	err = d.stream()
	n, used = d.out, d.in-int(d.held/8)
	d.dst, d.src = nil, nil
	switch {
	case used > len(src): // zeros that are not there were taken for input
		return 0, 0, errShort
	case err == errFull:
		return n, -1, nil
	}
	return n, used, err
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoder is the state between two symbols.
type decoder struct {
	dst, src []byte
	in, out  int
	bits     uint64 // of the input, the next one lowest
	held     uint   // how many of them count

	lit  [1 << litTableBits * 2]uint32
	dist [1 << distBits * 2]uint32
	lens [1 << lenTableBits]uint32
}

var (
	errShort    = corrupt("the stream ends early")
	errFull     = corrupt("the stream gives more than a block")
	errCode     = corrupt("no such code")
	errLengths  = corrupt("lengths that make no code")
	errDistance = corrupt("a distance that leads before the begin")
	errKind     = corrupt("no such kind of block")
	errStored   = corrupt("a stored length contradicts itself")
)

func corrupt(text string) error {
	return ondisk.Because(ondisk.ErrCorrupt, "deflate: %s", text)
}

// need makes at least n bits available, n <= 32. Behind the end of the input are
// zeros, as many as a symbol can take; who used them is found out later.
func (d *decoder) need(n uint) error {
	for d.held < n {
		if d.in >= len(d.src)+8 {
			return errShort
		}
		if d.in < len(d.src) {
			d.bits |= uint64(d.src[d.in]) << d.held
		}
		d.in++
		d.held += 8
	}
	return nil
}

// take gives the next n bits, which are available.
func (d *decoder) take(n uint) uint32 {
	v := uint32(d.bits) & (1<<n - 1)
	d.bits >>= n
	d.held -= n
	return v
}

func (d *decoder) stream() error {
	for {
		if err := d.need(3); err != nil {
			return err
		}
		final, kind := d.take(1) == 1, d.take(2)
		var err error
		switch kind {
		case 0:
			err = d.storedBlock()
		case 1:
			d.fixedCodes()
			err = d.block()
		case 2:
			if err = d.dynamicCodes(); err == nil {
				err = d.block()
			}
		default:
			err = errKind
		}
		if err != nil || final {
			return err
		}
	}
}

// storedBlock copies plain bytes, which begin at a byte.
func (d *decoder) storedBlock() error {
	d.take(d.held % 8)
	if err := d.need(32); err != nil {
		return err
	}
	n, check := int(d.take(16)), d.take(16)
	if n != int(^check&0xffff) {
		return errStored
	}
	d.in -= int(d.held / 8) // bytes that were looked at too early
	d.bits, d.held = 0, 0
	if d.in > len(d.src) || n > len(d.src)-d.in {
		return errShort
	}
	got := copy(d.dst[d.out:], d.src[d.in:d.in+n])
	d.in, d.out = d.in+got, d.out+got
	if got < n {
		return errFull
	}
	return nil
}

// fixedCodes are those of RFC 1951, 3.2.6.
func (d *decoder) fixedCodes() {
	d.lit, d.dist = fixed.lit, fixed.dist
}

var fixed = makeFixed()

func makeFixed() *decoder {
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	var dist [32]uint8
	for i := range dist {
		dist[i] = 5
	}
	d := new(decoder)
	build(d.lit[:], litTableBits, lens[:], append(literals[:286:286], kindNone, kindNone))
	build(d.dist[:], distBits, dist[:], append(distances[:30:30], kindNone, kindNone))
	return d
}

// lengthOrder is that of the lengths of the code for lengths.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads the codes of a block, RFC 1951, 3.2.7.
func (d *decoder) dynamicCodes() error {
	if err := d.need(14); err != nil {
		return err
	}
	nlit, ndist, nlen := int(d.take(5))+257, int(d.take(5))+1, int(d.take(4))+4
	var packed [19]uint8
	for _, sym := range lengthOrder[:nlen] {
		if err := d.need(3); err != nil {
			return err
		}
		packed[sym] = uint8(d.take(3))
	}
	if nlit > len(literals) || ndist > len(distances) || !build(d.lens[:], lenTableBits, packed[:], lengths) {
		return errLengths
	}
	var lens [286 + 30]uint8
	if err := d.codeLengths(lens[:nlit+ndist]); err != nil {
		return err
	}
	if lens[256] == 0 || !build(d.lit[:], litTableBits, lens[:nlit], literals) ||
		!build(d.dist[:], distBits, lens[nlit:nlit+ndist], distances) {
		return errLengths
	}
	return nil
}

// codeLengths unpacks the lengths of both codes, which are one run.
func (d *decoder) codeLengths(lens []uint8) error {
	for i := 0; i < len(lens); {
		if err := d.need(lenTableBits + 7); err != nil {
			return err
		}
		e := d.lens[d.bits&(1<<lenTableBits-1)]
		if e&kindMask == kindNone {
			return errLengths
		}
		d.take(uint(e & 15))
		sym := uint8(e >> 16)
		if sym < 16 {
			lens[i] = sym
			i++
			continue
		}
		var value uint8
		var times int
		switch sym {
		case 16:
			if i == 0 {
				return errLengths
			}
			value, times = lens[i-1], 3+int(d.take(2))
		case 17:
			times = 3 + int(d.take(3))
		default:
			times = 11 + int(d.take(7))
		}
		if times > len(lens)-i {
			return errLengths
		}
		for range times {
			lens[i] = value
			i++
		}
	}
	return nil
}

// block decodes symbols up to the end of the block: fast while both ends are far,
// then one at a time.
func (d *decoder) block() error {
	for {
		if done, err := d.fast(); done || err != nil {
			return err
		}
		if done, err := d.symbol(); done || err != nil {
			return err
		}
	}
}

// symbol decodes one literal, or a length and a distance, anywhere.
func (d *decoder) symbol() (end bool, err error) {
	e, err := d.code(d.lit[:], litTableBits)
	if err != nil {
		return false, err
	}
	switch e & kindMask {
	case kindEnd:
		return true, nil
	case kindLiteral:
		if d.out == len(d.dst) {
			return false, errFull
		}
		d.dst[d.out] = byte(e >> 16)
		d.out++
		return false, nil
	case kindBase:
	default:
		return false, errCode
	}
	n, err := d.value(e)
	if err != nil {
		return false, err
	}
	if e, err = d.code(d.dist[:], distBits); err != nil {
		return false, err
	}
	if e&kindMask != kindBase {
		return false, errCode
	}
	back, err := d.value(e)
	if err != nil {
		return false, err
	}
	if back > d.out {
		return false, errDistance
	}
	for ; n > 0 && d.out < len(d.dst); n-- {
		d.dst[d.out] = d.dst[d.out-back]
		d.out++
	}
	if n > 0 {
		return false, errFull
	}
	return false, nil
}

// code finds the entry of the next code and takes its bits.
func (d *decoder) code(table []uint32, rootBits uint) (uint32, error) {
	if err := d.need(maxCodeBits); err != nil {
		return 0, err
	}
	e := table[d.bits&(1<<rootBits-1)]
	if e&kindMask == kindLink {
		d.take(rootBits)
		e = table[e>>16+uint32(d.bits)&(1<<(e>>4&15)-1)]
	}
	d.take(uint(e & 15))
	return e, nil
}

// value is the base of an entry and its extra bits.
func (d *decoder) value(e uint32) (int, error) {
	extra := uint(e >> 4 & 15)
	if err := d.need(extra); err != nil {
		return 0, err
	}
	return int(e>>16 + d.take(extra)), nil
}
