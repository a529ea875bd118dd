package vmdk

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// describe turns the head into plain data.
func (h *head) describe() imagefmt.Info {
	info := imagefmt.Info{
		Format:      layer,
		Variant:     h.desc.createType,
		VirtualSize: h.size,
		Features:    h.features(),
		Notices:     h.notices(),
		Encrypted:   h.desc.encrypted,
	}
	if h.desc.hasParent() {
		info.Backing = &imagefmt.Reference{Name: h.desc.parentHint, Format: layer}
	}
	if s := h.embedded; s != nil {
		info.ClusterSize = int64(s.GrainSize) * sectorSize
		info.Dirty = s.UncleanShutdown != 0
		if s.packed() {
			info.Compression = "zlib"
		}
	}
	return info
}

func (h *head) features() []string {
	var out []string
	add := func(on bool, name string) {
		if on {
			out = append(out, name)
		}
	}
	if s := h.embedded; s != nil {
		add(true, fmt.Sprintf("version=%d", s.Version))
		add(s.redundant(), "redundant-directory")
		add(s.has(flagZeroedGrains), "zeroed-grains")
		add(s.has(flagMarkers), "markers")
	}
	add(len(h.desc.extents) > 1, fmt.Sprintf("extents=%d", len(h.desc.extents)))
	add(h.desc.trackPath != "", "change-tracking")
	return out
}

func (h *head) notices() []imagefmt.Notice {
	var out []imagefmt.Notice
	add := func(id, format string, args ...any) {
		out = append(out, imagefmt.Notice{ID: id, Text: fmt.Sprintf(format, args...)})
	}
	d := h.desc
	if name := d.parentName(); d.hasParent() && name != d.parentHint {
		add("vmdk-parent-path", "the parent is named by a path of another host, %q; %q in this folder is taken for it", d.parentHint, name)
	}
	if s := h.embedded; s != nil && s.UncleanShutdown != 0 {
		add("vmdk-dirty", "the disk was not closed cleanly; its data can be read, its redundant tables may be old")
	}
	denied := 0
	for _, x := range d.extents {
		if x.access == accessDenied {
			denied++
		}
	}
	if denied > 0 {
		add("vmdk-noaccess", "%d of %d extents may not be accessed, and read as zeros", denied, len(d.extents))
	}
	return out
}
