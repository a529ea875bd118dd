package vhdx

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tables is all of a file but its BAT and payload.
type tables struct {
	hdr  *header
	view *replayed
	*regions
	*metadata
	sameTables bool // both region tables are valid and equal
}

func readTables(src blockdev.Device, limits ondisk.Limits) (*tables, error) {
	h, err := readHeader(src)
	if err != nil {
		return nil, err
	}
	t := &tables{hdr: h}
	if t.view, err = replay(src, h, limits); err != nil {
		return nil, err
	}
	if t.regions, t.sameTables, err = readRegions(t.view, h); err != nil {
		return nil, err
	}
	if t.metadata, err = readMetadata(t.view, t.regions.metadata, limits); err != nil {
		return nil, err
	}
	if need := t.entries() * 8; need > t.bat.n {
		return nil, ondisk.At(layer, "BAT", t.bat.off).Corrupt("a disk of %d bytes needs %d bytes of entries; there is room for %d", t.size, need, t.bat.n)
	}
	return t, nil
}

// mapping is the view of the BAT that a reader works with.
func (t *tables) mapping(limits ondisk.Limits) *mapping {
	return &mapping{
		geometry: t.geometry,
		regions:  *t.regions,
		file:     t.view,
		slices:   ondisk.NewBlockCache[int64](limits.Cache),
	}
}

func (t *tables) variant() string {
	switch {
	case t.diff:
		return "differencing"
	case t.fixed:
		return "fixed"
	}
	return "dynamic"
}

// info turns the tables into plain data.
func (t *tables) info() imagefmt.Info {
	info := imagefmt.Info{
		Format:      layer,
		Variant:     t.variant(),
		VirtualSize: t.size,
		ClusterSize: t.block,
		Features:    []string{fmt.Sprintf("logical-sector=%d", t.logical), fmt.Sprintf("physical-sector=%d", t.physical)},
		Dirty:       t.hdr.pending(),
	}
	if t.diff {
		name := "an image that is not named"
		if names := t.locator.names(); len(names) > 0 {
			name = names[0]
		}
		info.Backing = &imagefmt.Reference{Name: name, Format: layer}
	}
	if info.Dirty {
		info.Notices = append(info.Notices, imagefmt.Notice{ID: "vhdx-log",
			Text: "the image was not closed cleanly; it is read as it will be when its log has been replayed"})
	}
	if t.logical != 512 {
		info.Notices = append(info.Notices, imagefmt.Notice{ID: "vhdx-sectors",
			Text: fmt.Sprintf("the disk has sectors of %d bytes; where sectors of 512 bytes are expected, its partition table is not understood", t.logical)})
	}
	return info
}
