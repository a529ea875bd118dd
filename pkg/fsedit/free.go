package fsedit

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/drivers"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// FreeExtents are the bytes of a disk, by its index, that no guest can read as
// meaningful: ascending, apart, and nothing but the free space of filesystems
// that alone own their bytes. A volume about which there is any doubt gives
// none, and kept says why. It looks at what was committed.
func (m *Machine) FreeExtents(ctx context.Context, disk int) (out []filesys.Range, kept []string, err error) {
	for i, v := range m.Volumes {
		if m.contents[i].Driver == nil || !m.touches(v, disk) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		why, err := m.doubt(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		var free []filesys.Range
		if why == "" {
			free, err = m.freeOf(ctx, i)
		}
		switch {
		case err != nil && !excusable(err):
			return nil, nil, fmt.Errorf("%s: %w", v.ID, err)
		case err != nil:
			why = err.Error()
		}
		if why != "" {
			kept = append(kept, fmt.Sprintf("%s: free space is kept: %s", v.ID, why))
			continue
		}
		for _, r := range free {
			out = m.onDisk(out, disk, v, r)
		}
	}
	unused, keptToo, err := m.unused(disk)
	return ascending(append(out, unused...)), append(kept, keptToo...), err
}

// excusable are troubles of one filesystem that need not stop a conversion.
func excusable(err error) bool {
	for _, s := range []error{ondisk.ErrCorrupt, ondisk.ErrUnsupported, ondisk.ErrTooBig, ondisk.ErrReadOnly} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// doubt is why the filesystem on volume i may not own all of its bytes.
func (m *Machine) doubt(ctx context.Context, i int) (string, error) {
	v, c := m.Volumes[i], m.contents[i]
	if c.Size > v.Len {
		return fmt.Sprintf("the filesystem claims %d bytes of %d", c.Size, v.Len), nil
	}
	others, err := drivers.Conflicts(m.drivers, v.Device, c.Content)
	if err != nil {
		return "", err
	}
	if len(others) > 0 {
		return fmt.Sprintf("there is a second signature: %v", others), nil
	}
	if v.Parent == "" {
		return m.tableOn(ctx, v)
	}
	return m.shared(v)
}

// tableOn reports partitions that a whole-disk filesystem has won over.
func (m *Machine) tableOn(ctx context.Context, v volume.Volume) (string, error) {
	for _, mapper := range Mappers() {
		match, err := mapper.Probe(v.Device)
		if err != nil {
			return "", err
		}
		if match == ondisk.None {
			continue
		}
		parts, err := mapper.Map(ctx, []blockdev.Device{v.Device}, volume.Options{Limits: m.limits})
		if err != nil && !excusable(err) {
			return "", err
		}
		if len(parts) > 0 {
			return "there are the rests of a partition table (" + mapper.Name() + ")", nil
		}
	}
	return "", nil
}

// freeOf is the free space of the filesystem on volume i.
func (m *Machine) freeOf(ctx context.Context, i int) ([]filesys.Range, error) {
	v := m.Volumes[i]
	fs, _, err := m.contents[i].open()
	if fs == nil {
		return nil, err
	}
	free, err := fs.FreeExtents(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range free {
		if !ondisk.InRange(r.Off, r.Len, v.Len) {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "free space %d+%d outside the volume", r.Off, r.Len)
		}
	}
	return free, nil
}
