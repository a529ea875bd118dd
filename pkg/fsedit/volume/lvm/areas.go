package lvm

import (
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// areaRef is a run of extents that a segment lies on.
type areaRef struct {
	target string // a physical or a logical volume
	start  int64
	n      int64 // or whole
}

// whole stands for all extents of a logical volume.
const whole = -1

// refs are the areas in a list of pairs, target and first extent, of n extents each.
func (s segment) refs(list string, n int64) ([]areaRef, error) {
	l := s.config.values[list].list
	if len(l) == 0 || len(l)%2 != 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%s has %d elements", list, len(l))
	}
	out := make([]areaRef, 0, len(l)/2)
	for i := 0; i < len(l); i += 2 {
		at := section{values: map[string]value{"": l[i+1]}}
		start := at.number("")
		if !l[i].quoted || start < 0 {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "%s: element %d is no place", list, i)
		}
		out = append(out, areaRef{target: l[i].text, start: start, n: n})
	}
	return out, nil
}

// images are the volumes that the segment of a RAID lies on; metadata[i] belongs to
// data[i] and is empty where there is none.
func (s segment) images() (metadata, data []string, err error) {
	list := "raids"
	paired := true
	if _, ok := s.config.values["raid0_lvs"]; ok {
		list, paired = "raid0_lvs", false
	}
	l := s.config.values[list].list
	if len(l) == 0 || paired && len(l)%2 != 0 {
		return nil, nil, ondisk.Because(ondisk.ErrCorrupt, "%s has %d elements", list, len(l))
	}
	for i := 0; i < len(l); i++ {
		meta := ""
		if paired {
			meta = l[i].text
			i++
		}
		metadata, data = append(metadata, meta), append(data, l[i].text)
	}
	return metadata, data, nil
}

// taken is all the areas of the group's segments, and whether each type of segment
// is known: only then is what is left unused.
func (g *group) taken() (refs []areaRef, known bool, err error) {
	known = true
	for _, name := range g.order {
		for _, s := range g.lvs[name].segments {
			r, ok, err := s.areas()
			if err != nil {
				return nil, false, ondisk.At("lvm", g.name+"/"+name, ondisk.NoOffset).Wrap(err)
			}
			known = known && ok
			refs = append(refs, r...)
		}
	}
	return refs, known, nil
}

// areas is what a segment takes on others; ok when the type is known.
func (s segment) areas() (refs []areaRef, ok bool, err error) {
	switch k := kinds[s.kind]; k {
	case striped:
		refs, err := s.stripes()
		return refs, true, err
	case mirrored:
		refs, err := s.refs("mirrors", s.extents)
		return refs, true, err
	case raid, raid0, raid10, parity:
		metadata, data, err := s.images()
		for _, name := range slices.Concat(metadata, data) {
			if name != "" {
				refs = append(refs, areaRef{target: name, n: whole})
			}
		}
		return refs, true, err
	case unknown:
		return nil, false, nil
	}
	return nil, true, nil
}

// stripes are the areas of a striped segment.
func (s segment) stripes() ([]areaRef, error) {
	n := s.config.number("stripe_count")
	if n <= 0 || s.extents%n != 0 {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%d extents in %d stripes", s.extents, n)
	}
	refs, err := s.refs("stripes", s.extents/n)
	if err == nil && int64(len(refs)) != n {
		err = ondisk.Because(ondisk.ErrCorrupt, "%d stripes where %d are said to be", len(refs), n)
	}
	return refs, err
}

// checkAreas makes sure that no extent is used twice, so that the volumes are a
// forest and nothing is free that another volume uses. It returns the areas on
// physical volumes, in order.
func (g *group) checkAreas(refs []areaRef) (map[string][]areaRef, error) {
	by := map[string][]areaRef{}
	for _, r := range refs {
		by[r.target] = append(by[r.target], r)
	}
	for target, list := range by {
		slices.SortFunc(list, func(a, b areaRef) int { return int(min(max(a.start-b.start, -1), 1)) })
		limit := int64(0)
		if m := g.pvs[target]; m != nil {
			limit = m.extents
		} else if lv := g.lvs[target]; lv != nil {
			limit = lv.extents
			delete(by, target)
		} else {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "volume group %s: a segment lies on %q, which is not there", g.name, target)
		}
		end := int64(0)
		for i, r := range list {
			if r.n == whole {
				r.n = limit
				list[i] = r
			}
			if r.start < end || !ondisk.InRange(r.start, r.n, limit) {
				return nil, ondisk.Because(ondisk.ErrCorrupt, "volume group %s: extents %d+%d of %s are used twice or not there", g.name, r.start, r.n, target)
			}
			end = r.start + r.n
		}
	}
	return by, nil
}

// unused tells of the extents of the physical volumes that no volume lies on.
func (g *group) unused(by map[string][]areaRef, tell func(volume.Span)) {
	for name, m := range g.pvs {
		at := int64(0) // each device hears of its own in order
		for _, r := range append(slices.Clone(by[name]), areaRef{start: m.extents}) {
			off, n := m.start+at*g.extent, (r.start-at)*g.extent
			if n > 0 && ondisk.InRange(off, n, m.device.dev.Size()) {
				tell(volume.Span{Member: m.device.index, Off: off, Len: n})
			}
			at = r.start + r.n
		}
	}
}
