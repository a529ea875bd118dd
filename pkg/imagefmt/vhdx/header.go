package vhdx

import (
	"bytes"
	"errors"
	"math"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const layer = "vhdx"

// header is the current header of a file.
type header struct {
	diskHeader
	raw   []byte // headerSize bytes as they are in the file
	off   int64  // where it lies
	other int64  // where the one lies that is not current
	both  bool   // the other one is valid too
}

// pending reports that the log may hold changes that are not yet made.
func (h *header) pending() bool { return h.Log != guid{} && h.LogLength != 0 }

// readHeader finds the current header: the valid one with the greater sequence
// number ([MS-VHDX] 2.2.2).
func readHeader(src blockdev.Device) (*header, error) {
	var id [len(identifierMagic)]byte
	if err := ondisk.Full(src, id[:], 0); err != nil && !errors.Is(err, ondisk.ErrCorrupt) {
		return nil, err
	}
	if id != identifierMagic {
		return nil, ondisk.At(layer, "file identifier", 0).Format("not a VHDX file")
	}
	a, errA := loadHeader(src, headerOffset1)
	b, errB := loadHeader(src, headerOffset2)
	if err := errors.Join(failure(errA), failure(errB)); err != nil {
		return nil, err
	}
	switch {
	case errA != nil && errB != nil:
		return nil, errA
	case errA != nil:
		return b.checked(src, headerOffset1, false)
	case errB != nil:
		return a.checked(src, headerOffset2, false)
	case a.Sequence < b.Sequence:
		return b.checked(src, headerOffset1, true)
	case a.Sequence == b.Sequence && !bytes.Equal(a.raw, b.raw):
		return nil, ondisk.At(layer, "header", headerOffset1).Corrupt("both headers have the sequence number %d and differ", a.Sequence)
	}
	return a.checked(src, headerOffset2, true)
}

// failure is err if it is one of the host and not of the image.
func failure(err error) error {
	if errors.Is(err, ondisk.ErrCorrupt) {
		return nil
	}
	return err
}

// loadHeader reads one header; one that is not valid is ondisk.ErrCorrupt.
func loadHeader(src blockdev.Device, off int64) (*header, error) {
	at := ondisk.At(layer, "header", off)
	raw, err := ondisk.Bytes(src, off, headerSize)
	if err != nil {
		return nil, at.Wrap(err)
	}
	h := &header{diskHeader: decode[diskHeader](raw), raw: raw, off: off}
	if h.Magic != headerMagic {
		return nil, at.Corrupt("it has no signature")
	}
	if !sealed(raw) {
		return nil, at.Corrupt("wrong checksum")
	}
	return h, nil
}

// checked checks the fields of the current header.
func (h *header) checked(src blockdev.Device, other int64, both bool) (*header, error) {
	h.other, h.both = other, both
	at := ondisk.At(layer, "header", h.off)
	if h.Version != 1 {
		return nil, at.Unsupported("version %d is not known", h.Version)
	}
	if !h.pending() {
		return h, nil
	}
	if h.LogVersion != 0 {
		return nil, at.Unsupported("version %d of the log is not known", h.LogVersion)
	}
	r := region{name: "log", n: int64(h.LogLength)}
	if h.LogOffset > math.MaxInt64 {
		return nil, at.Corrupt("log at %#x", h.LogOffset)
	}
	r.off = int64(h.LogOffset)
	return h, r.check(at, src.Size())
}

// log is the region of the log; empty when it has no place.
func (h *header) log() region {
	if h.LogOffset > math.MaxInt64 {
		return region{name: "log"}
	}
	return region{name: "log", off: int64(h.LogOffset), n: int64(h.LogLength)}
}
