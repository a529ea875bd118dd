package fsedit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/drivers"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/lvm"
)

// below are the volumes that v lies on.
func (m *Machine) below(v volume.Volume) []volume.Volume {
	ids := v.Members
	if len(ids) == 0 && v.Parent != "" {
		ids = []string{v.Parent}
	}
	var out []volume.Volume
	for _, id := range ids {
		if b, ok := m.Volume(id); ok {
			out = append(out, b)
		}
	}
	return out
}

// touches reports whether v may have bytes on a disk.
func (m *Machine) touches(v volume.Volume, disk int) bool {
	if v.Parent == "" {
		return v.Disk == disk
	}
	return slices.ContainsFunc(m.below(v), func(b volume.Volume) bool { return m.touches(b, disk) })
}

// onDisk adds what a range of v takes on a disk: of a mirror each leg, and nothing
// of what shares its place with others.
func (m *Machine) onDisk(out []filesys.Range, disk int, v volume.Volume, r filesys.Range) []filesys.Range {
	if v.Parent == "" {
		if v.Disk == disk {
			out = append(out, r)
		}
		return out
	}
	if v.Spans == nil {
		if parent, ok := m.Volume(v.Parent); ok {
			out = m.onDisk(out, disk, parent, filesys.Range{Off: v.Off + r.Off, Len: r.Len})
		}
		return out
	}
	for _, s := range v.Spans(r.Off, r.Len) {
		i := slices.Index(v.On, s.Member)
		if i < 0 {
			continue
		}
		if member, ok := m.Volume(v.Members[i]); ok {
			out = m.onDisk(out, disk, member, filesys.Range{Off: s.Off, Len: s.Len})
		}
	}
	return out
}

// unused is what volume groups on a disk have given to nobody.
func (m *Machine) unused(disk int) (out []filesys.Range, kept []string, err error) {
	for _, v := range m.Volumes {
		if len(v.Unused) == 0 || !m.touches(v, disk) {
			continue
		}
		why, err := m.shared(v)
		if err != nil {
			return nil, nil, err
		}
		if why != "" {
			kept = append(kept, fmt.Sprintf("%s: unused extents are kept: %s", v.ID, why))
			continue
		}
		for _, s := range v.Unused {
			out = m.onDisk(out, disk, v, filesys.Range{Off: s.Off, Len: s.Len})
		}
	}
	return out, kept, nil
}

// shared is why bytes of v, or of what it lies on, may belong to others too.
func (m *Machine) shared(v volume.Volume) (string, error) {
	// A leg of a mirror looks like its content; a physical volume like nothing else.
	if v.Claimed == (lvm.Mapper{}).Name() {
		others, err := drivers.Conflicts(m.drivers, v.Device, drivers.Content{Ident: filesys.Ident{Type: "LVM2_member"}})
		if err != nil {
			return "", err
		}
		if len(others) > 0 {
			return fmt.Sprintf("there is a second signature on %s: %v", v.ID, others), nil
		}
	}
	for _, o := range m.Volumes {
		if v.Spans == nil && o.Spans == nil && v.Parent != "" && o.ID != v.ID && o.Parent == v.Parent && o.Off < v.Off+v.Len && v.Off < o.Off+o.Len {
			return v.ID + " overlaps " + o.ID, nil
		}
	}
	for _, b := range m.below(v) {
		if why, err := m.shared(b); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

// ascending sorts ranges, and joins those that touch.
func ascending(list []filesys.Range) []filesys.Range {
	slices.SortFunc(list, func(a, b filesys.Range) int { return cmp.Compare(a.Off, b.Off) })
	var out []filesys.Range
	for _, r := range list {
		if n := len(out); n > 0 && r.Off <= out[n-1].Off+out[n-1].Len {
			out[n-1].Len = max(out[n-1].Len, r.Off+r.Len-out[n-1].Off)
			continue
		}
		out = append(out, r)
	}
	return out
}
