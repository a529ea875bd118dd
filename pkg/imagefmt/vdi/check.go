package vdi

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Checker = Format{}

// Check reads the whole block map. Places beyond the data or the file and places
// used twice are damage, and so is a wrong number of stored blocks, since new
// blocks are stored where it says.
func (Format) Check(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, watch ondisk.Observer) (imagefmt.CheckResult, error) {
	limits := opts.Limits.OrDefault()
	h, err := readHeader(src, limits)
	if err != nil {
		return imagefmt.CheckResult{}, err
	}
	if h.Type == typeUndo {
		return imagefmt.CheckResult{}, h.refusal()
	}
	r := imagefmt.CheckResult{Blocks: ondisk.DivUp(h.size(), h.blockSize())}
	s, err := walk(ctx, src, h, limits, watch, func(err error) error {
		r.AddCorrupt(err)
		return nil
	})
	if err != nil {
		return imagefmt.CheckResult{}, err
	}
	if s.used != int64(h.Allocated) {
		r.AddCorrupt(headerPlace.In("blocks allocated").Corrupt("%d, and the map has %d", h.Allocated, s.used))
	}
	s.leaks(&r)
	r.Allocated = s.used
	r.End = max(h.place(s.top), int64(h.MapOffset)+h.mapSize())
	return r, nil
}

// leaks notes the places that the file has room for and no entry names.
func (s *survey) leaks(r *imagefmt.CheckResult) {
	for p := range s.limit {
		if !s.has(p) {
			r.AddLeak(ondisk.At(layer, "block", s.place(p)).Corrupt("place %d is not used", p))
		}
	}
}
