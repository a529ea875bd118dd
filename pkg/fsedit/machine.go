package fsedit

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/drivers"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/gpt"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/luks"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/lvm"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/mbr"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/md"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Mappers is every kind of volume, in the order in which they are asked: an array
// before the table in it, which shows on each leg; what is encrypted before the table
// that its disk once had, and before the volume group that it is a part of; a GPT
// before the MBR that protects it; a table before the physical volume that its disk
// once was.
func Mappers() []volume.Mapper {
	return []volume.Mapper{md.Mapper{}, luks.Mapper{}, gpt.Mapper{}, mbr.Mapper{}, lvm.Mapper{}}
}

// Options tune [Open].
type Options struct {
	// Root chooses among several systems; see guest.Options.
	Root string
	// Mounts names the filesystems of the tree instead of a system's own fstab:
	// "DEV" or "DEV:/MNT", DEV being what Root may be. No system is looked for.
	Mounts []string
	Level  guest.Level
	Limits ondisk.Limits
	// Keys opens what is encrypted. What stays locked is a warning, and an error of
	// whoever needs it.
	Keys *volume.Keyring
	// Drivers are the filesystems to know; nil is drivers.Default.
	Drivers []filesys.Driver
}

// Machine is the opened disks of one machine.
type Machine struct {
	Disks   []blockdev.Device
	Volumes []volume.Volume // each disk before what lies in it
	Tree    *guest.Tree
	Facts   *guest.Facts // never nil; Root is empty when no system was found

	drivers  []filesys.Driver
	limits   ondisk.Limits
	contents []*content // one for each of Volumes
}

// Open finds the volumes and the guest on disks. A guest without a system, or
// with filesystems that cannot be read, is no error: the tree says what is missing
// when it is read there. [ondisk.ErrAmbiguous] lists several systems.
func Open(ctx context.Context, disks []blockdev.Device, opts Options) (*Machine, error) {
	m := &Machine{Disks: disks, drivers: opts.Drivers, limits: opts.Limits.OrDefault()}
	if m.drivers == nil {
		m.drivers = drivers.Default()
	}
	var notices []string
	var err error
	m.Volumes, err = volume.Discover(ctx, disks, Mappers(), volume.DiscoverOptions{
		Options:    volume.Options{Limits: m.limits, Keys: opts.Keys, Notice: func(text string) { notices = append(notices, text) }},
		Filesystem: m.claimed,
	})
	if err != nil {
		return nil, err
	}
	troubles, err := m.identify(ctx)
	if err != nil {
		return nil, err
	}
	notices = append(notices, troubles...)
	level := opts.Level
	if len(opts.Mounts) > 0 {
		level = guest.Volumes
	}
	m.Tree, m.Facts, err = guest.Inspect(ctx, m.sources(), guest.Options{Root: opts.Root, Level: level, Limits: m.limits})
	if err != nil {
		return nil, err
	}
	m.Facts.Warnings = append(notices, m.Facts.Warnings...)
	if len(opts.Mounts) > 0 {
		m.Tree, err = m.mount(opts.Mounts)
	}
	return m, err
}

// claimed is the size of the filesystem on a whole disk, for volume.Discover.
func (m *Machine) claimed(dev blockdev.Device) (int64, bool, error) {
	c, err := drivers.Identify(m.drivers, dev)
	return c.Size, c.Known(), err
}

// identify finds out what each volume holds that has no partitions. One that
// cannot be read is told, and fails only who needs it.
func (m *Machine) identify(ctx context.Context) (troubles []string, err error) {
	parents := map[string]bool{}
	for _, v := range m.Volumes {
		parents[v.Parent] = true
	}
	for _, v := range m.Volumes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := &content{device: v.Device, limits: m.limits}
		m.contents = append(m.contents, c)
		if parents[v.ID] && v.Claimed == "" {
			continue
		}
		if c.Content, err = drivers.Identify(m.drivers, v.Device); err != nil {
			troubles = append(troubles, fmt.Sprintf("%s: %v", v.ID, err))
		}
		if v.Claimed != "" {
			c.Driver = nil // a leg of a mirror looks like its content
		}
	}
	return troubles, nil
}

func (m *Machine) sources() []guest.Source {
	out := make([]guest.Source, len(m.Volumes))
	for i, v := range m.Volumes {
		c := m.contents[i]
		out[i] = guest.Source{Volume: v, Ident: c.Ident}
		if c.Driver != nil {
			out[i].Open = c.open
		}
	}
	return out
}

// mount joins the filesystems that the user named.
func (m *Machine) mount(specs []string) (*guest.Tree, error) {
	var mounted []guest.Mounted
	for _, spec := range specs {
		dev, at := spec, "/"
		if i := strings.Index(spec, ":/"); i >= 0 {
			dev, at = spec[:i], spec[i+1:]
		}
		i, err := m.find(dev)
		if err != nil {
			return nil, err
		}
		c := m.contents[i]
		if c.Driver == nil {
			return nil, c.unopenable(m.Volumes[i])
		}
		mounted = append(mounted, guest.Mounted{Path: at, Volume: m.Volumes[i].ID, Open: c.open})
	}
	return guest.NewTree(mounted), nil
}

// find is the index of the volume that a name of the user means: of an encrypted one
// that is open, what is in it.
func (m *Machine) find(name string) (int, error) {
	ids := []string{strings.TrimPrefix(name, "/dev/")}
	if _, ok := m.Volume(ids[0]); !ok {
		devices := guest.NewDevices(m.Facts.Filesystems)
		if ids = devices.Find(name); len(ids) == 0 {
			ids = devices.Find("UUID=" + name)
		}
	}
	if len(ids) > 1 {
		return 0, ondisk.Because(ondisk.ErrAmbiguous, "%s is on several volumes: %s", name, strings.Join(ids, ", "))
	}
	found := -1
	for i, v := range m.Volumes {
		if len(ids) == 1 && (v.ID == ids[0] || v.Kind == luks.Mapper{}.Name() && v.Parent == ids[0]) {
			found = i
		}
	}
	if found >= 0 {
		return found, nil
	}
	return 0, ondisk.Because(fs.ErrNotExist, "no volume %s on these disks", name)
}

// Volume is the volume of an ID: "sda1".
func (m *Machine) Volume(id string) (volume.Volume, bool) {
	for _, v := range m.Volumes {
		if v.ID == id {
			return v, true
		}
	}
	return volume.Volume{}, false
}

// Filesystem opens what the volume of an ID holds; the same value every time.
func (m *Machine) Filesystem(id string) (filesys.Volume, error) {
	i, err := m.find(id)
	if err != nil {
		return nil, err
	}
	if m.contents[i].Driver == nil {
		return nil, m.contents[i].unopenable(m.Volumes[i])
	}
	v, _, err := m.contents[i].open()
	if v != nil {
		return v, nil
	}
	return nil, err
}
