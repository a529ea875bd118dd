package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxDepth bounds how deep volumes nest: an array on partitions, a volume group
// on it, encryption on that, and as much again.
const maxDepth = 8

// Table is a [Mapper] of partition tables, which takes one device. The kernel looks
// for those on whole disks and arrays only, and so does [Discover]: what looks like
// a table inside a partition is a boot sector or was left over.
type Table interface {
	Mapper
	// DiskID is the id of the table itself, in lower case; empty when it has none.
	DiskID(dev blockdev.Device) (string, error)
}

// DiscoverOptions tune [Discover].
type DiscoverOptions struct {
	Options
	// Filesystem tells how many bytes the filesystem on dev claims, and whether
	// there is one at all. It decides between a filesystem on a whole disk and
	// the rests of a table in the sectors that the filesystem leaves alone.
	Filesystem func(dev blockdev.Device) (size int64, ok bool, err error)
}

// Discover finds the volumes of the disks: each disk itself, then what the tables
// in it name, before the next disk; then what the other mappers make of them all.
// Those take several volumes at once, and have their turns in their order, one
// after the other, until nothing new appears. The first mapper that is sure of a
// volume wins. A part that cannot be understood is a Notice; only a disk that
// cannot be read and the end of ctx are errors.
func Discover(ctx context.Context, disks []blockdev.Device, mappers []Mapper, opts DiscoverOptions) ([]Volume, error) {
	d := discovery{ctx: ctx, mappers: mappers, opts: opts, taken: map[string]bool{}}
	d.opts.Limits = opts.Limits.OrDefault()
	if d.opts.Notice == nil {
		d.opts.Notice = func(string) {}
	}
	for i, dev := range disks {
		disk := Volume{ID: DiskName("sd", i), Kind: "disk", Disk: i, Len: dev.Size(), Whole: true, Device: dev}
		if err := d.visit(disk, 0); err != nil {
			return nil, fmt.Errorf("disk %s: %w", disk.ID, err)
		}
	}
	for len(d.waiting) > 0 {
		if err := d.joinNext(); err != nil {
			return nil, err
		}
	}
	return d.found, nil
}

// DiskName is the name of disk index i, from 0, under a prefix: "sda", "sdz",
// "sdaa", as the kernel counts.
func DiskName(prefix string, i int) string {
	letters := ""
	for i++; i > 0; i = (i - 1) / 26 {
		letters = string(rune('a'+(i-1)%26)) + letters
	}
	return prefix + letters
}

type discovery struct {
	ctx     context.Context
	mappers []Mapper
	opts    DiscoverOptions
	found   []Volume
	taken   map[string]bool // IDs in found
	waiting []member        // claimed and not yet mapped
}

// member is a volume that waits for others like it.
type member struct {
	at, depth int // index in found
	mapper    Mapper
}

// visit adds v and all that lies in it alone.
func (d *discovery) visit(v Volume, depth int) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if d.taken[v.ID] {
		d.opts.Notice(fmt.Sprintf("%s: there is another volume of this name: left out", v.ID))
		return nil
	}
	at := len(d.found)
	d.found, d.taken[v.ID] = append(d.found, v), true
	if depth >= maxDepth {
		d.opts.Notice(fmt.Sprintf("%s: volumes nest more than %d deep", v.ID, maxDepth))
		return nil
	}
	m, err := d.choose(v)
	if err != nil || m == nil {
		return err
	}
	t, ok := m.(Table)
	if !ok {
		d.found[at].Claimed = m.Name()
		d.waiting = append(d.waiting, member{at, depth, m})
		return nil
	}
	return d.partition(at, depth, t)
}

// partition adds the partitions of the volume found at an index.
func (d *discovery) partition(at, depth int, t Table) error {
	v := d.found[at]
	opts := d.opts.Options
	opts.Notice = func(text string) { d.opts.Notice(v.ID + ": " + text) }
	parts, err := t.Map(d.ctx, []blockdev.Device{v.Device}, opts)
	if err != nil {
		return d.tolerate(v.ID, t, err)
	}
	id, err := t.DiskID(v.Device)
	if err != nil {
		return d.tolerate(v.ID, t, err)
	}
	if v.UUID == "" {
		d.found[at].UUID = id
	}
	name := v.ID
	if last := name[len(name)-1]; last >= '0' && last <= '9' {
		name += "p" // as the kernel and udev have it: md127p1
	}
	for _, p := range parts {
		p.Disk, p.Parent = v.Disk, v.ID
		p.ID = fmt.Sprintf("%s%d", name, p.Number)
		if err := d.visit(p, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// joinNext maps all that wait for the first mapper that somebody waits for, and
// adds what it makes of them.
func (d *discovery) joinNext() error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	first := slices.IndexFunc(d.mappers, func(m Mapper) bool {
		return slices.ContainsFunc(d.waiting, func(w member) bool { return w.mapper.Name() == m.Name() })
	})
	m := d.mappers[first]
	var members, rest []member
	for _, w := range d.waiting {
		if w.mapper.Name() == m.Name() {
			members = append(members, w)
		} else {
			rest = append(rest, w)
		}
	}
	d.waiting = rest
	devs := make([]blockdev.Device, len(members))
	opts := d.opts.Options
	for i, w := range members {
		devs[i], opts.Members = d.found[w.at].Device, append(opts.Members, d.found[w.at])
	}
	opts.Locked = func(member int, why error) { d.found[members[member].at].Locked = why }
	opts.Unused = func(s Span) {
		v := &d.found[members[s.Member].at]
		v.Unused = append(v.Unused, s)
	}
	made, err := m.Map(d.ctx, devs, opts)
	if err != nil {
		return d.tolerate(d.found[members[0].at].ID, m, err)
	}
	for _, v := range made {
		if err := d.visitJoined(v, members); err != nil {
			return err
		}
	}
	return nil
}

// visitJoined fills in what a volume has from its members, and visits it.
func (d *discovery) visitJoined(v Volume, members []member) error {
	depth := 0
	for _, i := range v.On {
		v.Members = append(v.Members, d.found[members[i].at].ID)
		depth = max(depth, members[i].depth+1)
	}
	v.Parent, v.Disk = v.Members[0], d.found[members[v.On[0]].at].Disk
	return d.visit(v, depth)
}

// choose is the mapper for v, or nil: the first one that is sure, else the first
// one that is not, unless a filesystem owns the whole of v.
func (d *discovery) choose(v Volume) (Mapper, error) {
	var maybe Mapper
	for _, m := range d.mappers {
		if _, table := m.(Table); table && !v.Whole {
			continue
		}
		match, err := m.Probe(v.Device)
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", m.Name(), err)
		}
		if match == ondisk.Sure {
			return m, nil
		}
		if match == ondisk.Maybe && maybe == nil {
			maybe = m
		}
	}
	if maybe == nil || d.opts.Filesystem == nil {
		return maybe, nil
	}
	size, ok, err := d.opts.Filesystem(v.Device)
	if err != nil {
		return nil, err
	}
	if ok && fits(size, v.Device.Size()) {
		return nil, nil
	}
	return maybe, nil
}

// fits reports whether a filesystem of size bytes fills a disk: at least nine
// tenths of it, and not more than all.
func fits(size, disk int64) bool { return size <= disk && size >= disk-disk/10 }

// tolerate turns trouble with the content of a volume into a notice.
func (d *discovery) tolerate(id string, m Mapper, err error) error {
	for _, s := range []error{ondisk.ErrCorrupt, ondisk.ErrUnsupported, ondisk.ErrTooBig, ondisk.ErrEncrypted, ondisk.ErrFormat} {
		if errors.Is(err, s) {
			d.opts.Notice(fmt.Sprintf("%s: %v", id, err))
			return nil
		}
	}
	return fmt.Errorf("reading %s: %w", m.Name(), err)
}
