package lvm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Mapper finds the logical volumes on physical ones. It is a stateless value.
type Mapper struct{}

var _ volume.Mapper = Mapper{}

func (Mapper) Name() string { return "lvm" }

// Probe is Sure of a good label.
func (Mapper) Probe(dev blockdev.Device) (ondisk.Match, error) {
	_, err := readLabel(dev)
	switch {
	case failing(err):
		return ondisk.None, err
	case err != nil:
		return ondisk.None, nil
	}
	return ondisk.Sure, nil
}

// Map returns the visible logical volumes of all groups on devs, in the order of the
// groups' texts. What cannot be read is a Notice that names it.
func (Mapper) Map(ctx context.Context, devs []blockdev.Device, opts volume.Options) ([]volume.Volume, error) {
	opts.Limits = opts.Limits.OrDefault()
	if opts.Notice == nil {
		opts.Notice = func(string) {}
	}
	if opts.Unused == nil {
		opts.Unused = func(volume.Span) {}
	}
	found, err := gather(ctx, devs, opts)
	if err != nil {
		return nil, err
	}
	var out []volume.Volume
	for _, g := range found.groups {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found.place(g, opts.Notice)
		vols, err := g.volumes(opts)
		switch {
		case failing(err):
			return nil, err
		case err != nil:
			opts.Notice(err.Error())
			continue
		}
		if slices.ContainsFunc(found.groups, func(o *group) bool { return o != g && o.name == g.name }) {
			opts.Notice(fmt.Sprintf("several volume groups are called %s: their volumes are named by the id of the group", g.name))
			for i := range vols {
				vols[i].ID, vols[i].Names = g.id+strings.TrimPrefix(vols[i].ID, g.name), nil
			}
		}
		out = append(out, vols...)
	}
	return out, nil
}

// volumes makes the volumes of a group whose devices are placed.
func (g *group) volumes(opts volume.Options) ([]volume.Volume, error) {
	refs, known, err := g.taken()
	if err != nil {
		return nil, err
	}
	taken, err := g.checkAreas(refs)
	if err != nil {
		return nil, err
	}
	if g.config.flag("status", "EXPORTED") {
		opts.Notice(fmt.Sprintf("volume group %s is exported: Linux would not start it", g.name))
	}
	if g.forked {
		opts.Notice(fmt.Sprintf("volume group %s: two copies of the metadata differ and claim the same age: it is read only", g.name))
	}
	if known && !g.forked && g.complete() {
		g.unused(taken, opts.Unused)
	}
	r := &resolver{group: g, limits: opts.Limits, made: map[string]resolved{}, pools: map[string]*thinPool{}}
	origins, stores := g.snapshots()
	var out []volume.Volume
	for _, name := range g.order {
		lv := g.lvs[name]
		if !lv.visible || len(lv.segments) == 0 || kinds[lv.segments[0].kind] == pool {
			continue
		}
		v, err := g.one(r, lv, origins[name], stores[name])
		for _, note := range r.notes {
			opts.Notice(fmt.Sprintf("%s/%s: %s", g.name, name, note))
		}
		r.notes = nil
		if failing(err) {
			return nil, err
		}
		if err != nil {
			opts.Notice(fmt.Sprintf("%s/%s is left out: %v", g.name, lv.shownAs(), err))
			continue
		}
		out = append(out, v)
	}
	return out, nil
}

// snapshots are the names of volumes with copy-on-write snapshots, and of what
// holds these.
func (g *group) snapshots() (origins map[string]*segment, stores map[string]bool) {
	origins, stores = map[string]*segment{}, map[string]bool{}
	for _, name := range g.order {
		for i, s := range g.lvs[name].segments {
			if kinds[s.kind] == snapshot {
				origins[s.config.string("origin")] = &g.lvs[name].segments[i]
				stores[s.config.string("cow_store")] = true
				stores[s.config.string("merging_store")] = true
			}
		}
	}
	return origins, stores
}

// shownAs is the name that the tools have for a volume: a snapshot goes by the name
// of its store, which is hidden.
func (lv *logical) shownAs() string {
	for _, name := range []string{"cow_store", "merging_store"} {
		if s := lv.segments[0]; kinds[s.kind] == snapshot && s.config.string(name) != "" {
			return s.config.string(name)
		}
	}
	return lv.name
}

// one makes the volume of a logical volume. What of a snapshot is not copied away
// yet lies in its origin, which is therefore not written.
func (g *group) one(r *resolver, lv *logical, snap *segment, store bool) (volume.Volume, error) {
	if store || kinds[lv.segments[0].kind] == snapshot {
		return volume.Volume{}, ondisk.Because(ondisk.ErrUnsupported, "it is a snapshot")
	}
	if snap != nil && snap.config.string("merging_store") != "" {
		return volume.Volume{}, ondisk.Because(ondisk.ErrUnsupported, "a snapshot is being merged into it")
	}
	p, err := r.volume(lv.name)
	if err != nil {
		return volume.Volume{}, err
	}
	if snap != nil || !lv.write || g.readOnly() {
		p = assembly.ReadOnly(p)
	}
	v := volume.Volume{
		ID: g.name + "/" + lv.name, Names: g.names(lv), Kind: "lvm", Number: -1, Type: lv.segments[0].config.string("type"),
		UUID: lv.id, Label: lv.name, Len: p.Size(), Spans: assembly.Spans(p), Device: assembly.Device(p),
	}
	if v.On = g.members(lv); len(v.On) == 0 {
		return v, ondisk.Because(ondisk.ErrUnsupported, "it lies on no physical volume")
	}
	return v, nil
}

// readOnly reports whether nothing in the group is to be written: the newest text
// may be wrong, or the group says so. A missing device does no harm to the others.
func (g *group) readOnly() bool {
	return !g.config.flag("status", "WRITE") || g.forked
}

// complete reports whether all devices are there.
func (g *group) complete() bool {
	for _, m := range g.pvs {
		if m.device == nil {
			return false
		}
	}
	return true
}

// names are the device files of a logical volume: device-mapper doubles the dashes
// of both names, to put one between them.
func (g *group) names(lv *logical) []string {
	double := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	dm := double(g.name) + "-" + double(lv.name)
	return []string{
		"/dev/" + g.name + "/" + lv.name,
		"/dev/mapper/" + dm,
		"/dev/disk/by-id/dm-name-" + dm,
		"/dev/disk/by-id/dm-uuid-LVM-" + bareID(g.id) + bareID(lv.id),
	}
}

// members are the indexes of the devices below a logical volume, in order.
func (g *group) members(lv *logical) []int {
	var out []int
	seen := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if m := g.pvs[name]; m != nil {
			if m.device != nil && !slices.Contains(out, m.device.index) {
				out = append(out, m.device.index)
			}
			return
		}
		if lv := g.lvs[name]; lv != nil {
			for _, s := range lv.segments {
				for _, below := range s.below() {
					walk(below)
				}
			}
		}
	}
	walk(lv.name)
	return out
}

// below is all that a segment names which may hold its bytes.
func (s segment) below() []string {
	var out []string
	refs, _, err := s.areas()
	if err != nil {
		return nil
	}
	for _, r := range refs {
		out = append(out, r.target)
	}
	for _, name := range []string{"thin_pool", "pool", "metadata", "origin", "external_origin", "cache_pool", "cachevol", "data"} {
		if v, ok := s.config.values[name]; ok {
			out = append(out, v.text)
		}
	}
	return out
}
