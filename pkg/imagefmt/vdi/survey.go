package vdi

import (
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// survey is what a walk over the whole block map found.
type survey struct {
	*header
	places []uint64 // a bit for each place that the file has
	limit  int64    // how many places that is
	used   int64    // different places in use
	top    int64    // the first place after all that are in use
}

// walkStep is how much of the map a walk reads at once.
const walkStep = 1 << 20

// walk reads the whole map and calls bad for each entry that contradicts the
// header, the file or an entry before; it stops when bad returns an error.
func walk(ctx context.Context, file blockdev.Device, h *header, limits ondisk.Limits, watch ondisk.Observer, bad func(error) error) (*survey, error) {
	s := &survey{header: h}
	s.limit = min(int64(h.Blocks), max(0, ondisk.DivUp(file.Size()-int64(h.DataOffset), h.stride())))
	if n := ondisk.DivUp(s.limit, 8); n > limits.Table {
		return nil, headerPlace.In("blocks").TooBig("%d bytes are needed to check them, over the limit of %d", n, limits.Table)
	}
	s.places = make([]uint64, ondisk.DivUp(s.limit, 64))
	buf := make([]byte, min(walkStep, h.mapSize()))
	for at := int64(0); at < h.mapSize(); at += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		watch.Tell(ondisk.Event{Phase: "checking", Done: at, Total: h.mapSize()})
		part := buf[:min(int64(len(buf)), h.mapSize()-at)]
		if err := ondisk.Full(file, part, int64(h.MapOffset)+at); err != nil {
			return nil, ondisk.At(layer, "block map", int64(h.MapOffset)).Wrap(err)
		}
		for i := 0; i < len(part); i += entrySize {
			err := s.note(binary.LittleEndian.Uint32(part[i:]))
			if err == nil {
				continue
			}
			place := ondisk.At(layer, "block map", int64(h.MapOffset)).In("entry %d", (at+int64(i))/entrySize)
			if err := bad(place.Wrap(err)); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// note takes one entry in; the error is what is wrong with it.
func (s *survey) note(entry uint32) error {
	if entry == entryAbsent || entry == entryZero {
		return nil
	}
	p := int64(entry)
	switch {
	case entry >= s.Blocks:
		return ondisk.Because(ondisk.ErrCorrupt, "place %d of %d", entry, s.Blocks)
	case p >= s.limit:
		return ondisk.Because(ondisk.ErrCorrupt, "place %d lies beyond the end of the file; the image is truncated", entry)
	case s.has(p):
		return ondisk.Because(ondisk.ErrCorrupt, "place %d is used twice", entry)
	}
	s.places[p/64] |= 1 << (p % 64)
	s.used++
	s.top = max(s.top, p+1)
	if entry >= s.Allocated {
		return ondisk.Because(ondisk.ErrCorrupt, "place %d is not among the %d blocks that are said to be stored; the next new block would be stored there too", entry, s.Allocated)
	}
	return nil
}

func (s *survey) has(place int64) bool { return s.places[place/64]>>(place%64)&1 != 0 }
