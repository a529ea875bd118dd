package luks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// copy2 is one of the two headers of LUKS2, whose checksum is right.
type copy2 struct {
	header2
	text []byte // JSON
}

// read2 reads both headers of LUKS2. The one that was written last counts.
func read2(dev blockdev.Device) (*container, error) {
	first, err := readCopy(dev, 0, magicFirst)
	if failing(err) {
		return nil, err
	}
	var second *copy2
	places := sizes2
	if first != nil {
		places = []int64{int64(first.Size)}
	}
	for _, at := range places {
		s, err2 := readCopy(dev, at, magicOther)
		if failing(err2) {
			return nil, err2
		}
		if s != nil {
			second = s
			break
		}
		if err == nil || errors.Is(err, ondisk.ErrFormat) {
			err = err2
		}
	}
	best := first
	if first == nil || second != nil && second.Sequence > first.Sequence {
		best = second
	}
	if best == nil {
		return nil, err
	}
	c := best.container(dev.Size())
	switch {
	case first == nil:
		c.notes = append(c.notes, "its first header is damaged; the second one is used")
	case second == nil:
		c.notes = append(c.notes, "its second header is damaged; the first one is used")
	}
	return c, nil
}

// readCopy reads the header at an offset, and its text. The error is
// [ondisk.ErrFormat] when there is none.
func readCopy(dev blockdev.Device, at int64, magic string) (*copy2, error) {
	place := ondisk.At("LUKS2", "header", at)
	if !ondisk.InRange(at, header2Len, dev.Size()) {
		return nil, place.Format("there is no room")
	}
	p, err := ondisk.Bytes(dev, at, header2Len)
	if err != nil {
		return nil, place.Wrap(err)
	}
	var h header2
	if _, err := binary.Decode(p, be, &h); err != nil {
		return nil, place.Wrap(err)
	}
	if string(h.Magic[:]) != magic || h.Version != 2 {
		return nil, place.Format("no signature")
	}
	if h.Offset != uint64(at) {
		return nil, place.In("own offset").Corrupt("%d", h.Offset)
	}
	if h.Size > 4<<20 || !slices.Contains(sizes2, int64(h.Size)) || at != 0 && h.Size != uint64(at) {
		return nil, place.In("size").Corrupt("%d", h.Size)
	}
	if p, err = ondisk.Bytes(dev, at, int64(h.Size)); err != nil {
		return nil, place.Wrap(err)
	}
	alg := cstring(h.SumAlg[:])
	sum, err := checksum(p, alg)
	if err != nil {
		return nil, place.In("checksum").Unsupported("algorithm %q", alg)
	}
	if !bytes.Equal(sum, h.Sum[:len(sum)]) {
		return nil, place.In("checksum").Corrupt("it is wrong")
	}
	text, _, _ := bytes.Cut(p[header2Len:], []byte{0})
	return &copy2{header2: h, text: text}, nil
}

// checksum is that of a whole header, with zeros in its own place.
func checksum(p []byte, alg string) ([]byte, error) {
	fresh, err := hashOf(alg)
	if err != nil {
		return nil, err
	}
	h := fresh()
	h.Write(p[:sumOff])
	h.Write(make([]byte, sumLen))
	h.Write(p[sumOff+sumLen:])
	return h.Sum(nil), nil
}
