package ext

import (
	"cmp"
	"slices"
)

// zone is a run of blocks of the device.
type zone struct{ start, n uint64 }

func (z zone) end() uint64 { return z.start + z.n }

// metadataZones lists the blocks that mkfs gave to superblocks, descriptors,
// bitmaps and inode tables, ascending: what no file may own, and all that a
// group with an uninitialised bitmap holds.
func (v *volume) metadataZones() ([]zone, error) {
	var zones []zone
	for n := range v.groupCount {
		if k := v.headBlocks(n); k > 0 {
			zones = append(zones, zone{v.groupStart(n), k})
		}
		g, err := v.group(n)
		if err != nil {
			return nil, err
		}
		zones = append(zones, zone{g.blockBitmap(), 1}, zone{g.inodeBitmap(), 1}, zone{g.inodeTable(), v.inodeTableBlocks()})
	}
	slices.SortFunc(zones, func(a, b zone) int { return cmp.Compare(a.start, b.start) })
	return joinZones(zones), nil
}

// joinZones merges sorted zones that touch.
func joinZones(zs []zone) []zone {
	out := zs[:0]
	for _, r := range zs {
		if n := len(out); n > 0 && r.start <= out[n-1].end() {
			out[n-1].n = max(out[n-1].end(), r.end()) - out[n-1].start
			continue
		}
		out = append(out, r)
	}
	return out
}

// headBlocks is how many blocks at the start of group n hold a superblock,
// descriptors and the blocks reserved for more of them.
func (g *geometry) headBlocks(n uint32) uint64 {
	backup := uint64(0)
	if g.hasBackup(n) {
		backup = 1
	}
	metaGroup := n / g.descsPerBlock
	if !g.hasIncompat(fiMetaBG) || metaGroup < g.firstMetaBG {
		if backup == 0 {
			return 0
		}
		descs := g.gdtBlocks
		if g.hasIncompat(fiMetaBG) {
			descs = g.firstMetaBG
		}
		return backup + uint64(descs) + uint64(g.reservedGDT)
	}
	if i := n % g.descsPerBlock; i == 0 || i == 1 || i == g.descsPerBlock-1 {
		return backup + 1
	}
	return backup
}

// inZones reports whether any block of r is metadata.
func inZones(zones []zone, r zone) bool {
	i, _ := slices.BinarySearchFunc(zones, r.start, func(z zone, at uint64) int {
		if z.end() <= at {
			return -1
		}
		return 1
	})
	return i < len(zones) && zones[i].start < r.end()
}
