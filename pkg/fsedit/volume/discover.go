package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxDepth bounds how deep volumes nest: an array on partitions, a volume group
// on it, encryption on that, and as much again.
const maxDepth = 8

// Table is a [Mapper] of partition tables. The kernel looks for those on whole
// disks only, and so does [Discover]: what looks like a table inside a partition
// is a boot sector or was left over.
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

// Discover finds the volumes of the disks: each disk itself, then what the
// mappers find in it, in their order, before the next disk. The first mapper
// that is sure of a volume wins. A part that cannot be understood is a Notice;
// only a disk that cannot be read and the end of ctx are errors.
func Discover(ctx context.Context, disks []blockdev.Device, mappers []Mapper, opts DiscoverOptions) ([]Volume, error) {
	d := discovery{ctx: ctx, mappers: mappers, opts: opts}
	d.opts.Limits = opts.Limits.OrDefault()
	if d.opts.Notice == nil {
		d.opts.Notice = func(string) {}
	}
	for i, dev := range disks {
		disk := Volume{ID: DiskName("sd", i), Kind: "disk", Disk: i, Len: dev.Size(), Device: dev}
		if err := d.visit(disk, 0); err != nil {
			return nil, fmt.Errorf("disk %s: %w", disk.ID, err)
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
}

// visit adds v and all that lies in it.
func (d *discovery) visit(v Volume, depth int) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	at := len(d.found)
	d.found = append(d.found, v)
	if depth >= maxDepth {
		d.opts.Notice(fmt.Sprintf("%s: volumes nest more than %d deep", v.ID, maxDepth))
		return nil
	}
	m, err := d.choose(v)
	if err != nil || m == nil {
		return err
	}
	opts := d.opts.Options
	opts.Notice = func(text string) { d.opts.Notice(v.ID + ": " + text) }
	inner, err := m.Map(d.ctx, []blockdev.Device{v.Device}, opts)
	if err != nil {
		return d.tolerate(v, m, err)
	}
	if t, ok := m.(Table); ok {
		id, err := t.DiskID(v.Device)
		if err != nil {
			return d.tolerate(v, m, err)
		}
		d.found[at].UUID = id
	}
	for _, p := range inner {
		p.Disk, p.Parent = v.Disk, v.ID
		p.ID = fmt.Sprintf("%s%d", v.ID, p.Number)
		if err := d.visit(p, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// choose is the mapper for v, or nil: the first one that is sure, else the first
// one that is not, unless a filesystem owns the whole of v.
func (d *discovery) choose(v Volume) (Mapper, error) {
	var maybe Mapper
	for _, m := range d.mappers {
		if _, table := m.(Table); table && v.Number > 0 {
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

// tolerate turns trouble with the content of v into a notice.
func (d *discovery) tolerate(v Volume, m Mapper, err error) error {
	for _, s := range []error{ondisk.ErrCorrupt, ondisk.ErrUnsupported, ondisk.ErrTooBig, ondisk.ErrEncrypted, ondisk.ErrFormat} {
		if errors.Is(err, s) {
			d.opts.Notice(fmt.Sprintf("%s: %v", v.ID, err))
			return nil
		}
	}
	return fmt.Errorf("reading %s: %w", m.Name(), err)
}
