package vhd

import (
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// meta is all that an image says about itself, its tables excepted.
type meta struct {
	footers footers
	footer  *footer     // the one to go by
	header  *header     // nil for a fixed image
	parent  parentNames // of a differencing image
}

func readMeta(src blockdev.Device, limits ondisk.Limits) (*meta, error) {
	fs, err := readFooters(src)
	if err != nil {
		return nil, err
	}
	m := &meta{footers: fs}
	if m.footer, err = fs.choose(); err != nil {
		return nil, err
	}
	size := m.footer.place().In("current size")
	if m.footer.size() > limits.VirtualSize {
		return nil, size.TooBig("%d bytes, over the limit of %d", m.footer.size(), limits.VirtualSize)
	}
	if m.footer.DiskType == typeFixed {
		if room := m.footer.off; m.footer.size() > room {
			return nil, size.Corrupt("a disk of %d bytes has only %d before the footer; the image is truncated", m.footer.size(), room)
		}
		return m, nil
	}
	if m.header, err = readHeader(src, m.footer); err != nil {
		return nil, err
	}
	if m.footer.DiskType == typeDifferencing {
		m.parent, err = readParentNames(src, m.header)
	}
	return m, err
}

func (m *meta) describe() imagefmt.Info {
	info := imagefmt.Info{
		Format:      layer,
		Variant:     m.footer.variant(),
		VirtualSize: m.footer.size(),
		Features:    m.features(),
		Notices:     m.notices(),
	}
	if m.header != nil {
		info.ClusterSize = m.header.blockSize()
	}
	if m.footer.DiskType == typeDifferencing {
		info.Backing = &imagefmt.Reference{Name: m.parent.best(), Format: layer}
	}
	return info
}

func (m *meta) features() []string {
	const temporary = 1 << 0
	f := []string{fmt.Sprintf("creator=%q", strings.TrimRight(string(m.footer.Creator[:]), " \x00"))}
	if m.footer.Features&temporary != 0 {
		f = append(f, "temporary")
	}
	if m.footer.SavedState != 0 {
		f = append(f, "saved-state")
	}
	return f
}

func (m *meta) notices() []imagefmt.Notice {
	var out []imagefmt.Notice
	add := func(id, format string, args ...any) {
		out = append(out, imagefmt.Notice{ID: id, Text: fmt.Sprintf(format, args...)})
	}
	if m.footer != m.footers.tail {
		add("vhd-footer", "%s; its copy at the start is used", m.footers.fault())
	}
	if m.footer.SavedState != 0 {
		add("vhd-saved-state", "the machine was suspended, not shut down; its disk may be inconsistent")
	}
	creator := string(m.footer.Creator[:])
	if n := m.footer.chsBytes(); (creator == "vpc " || creator == "vs  ") && n < m.footer.size() {
		add("vhd-geometry", "Virtual PC showed the guest only %d bytes of this disk; all %d are read", n, m.footer.size())
	}
	return out
}
