package vmdk

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// claim is a range of a file that something uses.
type claim struct{ off, n int64 }

func (c claim) end() int64 { return c.off + c.n }

// claims are ranges of one file, sorted by check.
type claims []claim

// whole claims a file from its beginning to whatever end.
var whole = claims{{0, math.MaxInt64}}

// check sorts the claims and refuses two that share a byte.
func (c claims) check() error {
	slices.SortFunc(c, func(a, b claim) int {
		switch {
		case a.off < b.off:
			return -1
		case a.off > b.off:
			return 1
		}
		return 0
	})
	for i := 1; i < len(c); i++ {
		if c[i].off < c[i-1].end() {
			return ondisk.Because(ondisk.ErrCorrupt, "two parts of the disk lie at byte %#x of the same file", c[i].off)
		}
	}
	return nil
}

// hostedClaims lists what no grain of a sparse extent may lie in: its header,
// descriptor, directories and tables.
func (m *mapping) hostedClaims(h *sparseHeader, backup []byte) (claims, error) {
	c := claims{{0, sparseHeaderSize}}
	size := m.file.Size()
	limit := uint64(size)
	if h.DescriptorOffset != 0 && h.DescriptorOffset < limit && h.DescriptorSize < limit {
		c = append(c, claim{int64(h.DescriptorOffset) * sectorSize, int64(h.DescriptorSize) * sectorSize})
	}
	if m.loose == nil && len(m.dir) > 0 {
		c = m.addTables(append(c, claim{int64(h.GDOffset) * sectorSize, int64(len(m.dir))}), m.dir)
	}
	if len(backup) > 0 {
		c = m.addTables(append(c, claim{int64(h.RGDOffset) * sectorSize, int64(len(backup))}), backup)
	}
	for _, x := range c {
		if !ondisk.InRange(x.off, x.n, size) {
			return nil, ondisk.Because(ondisk.ErrCorrupt, "%d bytes of tables at %#x end beyond the end of the file (%d bytes)", x.n, x.off, size)
		}
	}
	return c, nil
}

func (m *mapping) addTables(c claims, dir []byte) claims {
	for i := range m.tables() {
		if off := tableAt(dir, i); off != 0 {
			c = append(c, claim{off, m.tableBytes()})
		}
	}
	return c
}

// tableAt is where table i of a directory of 32-bit sectors lies.
func tableAt(dir []byte, i int64) int64 {
	return int64(binary.LittleEndian.Uint32(dir[i*tableEntrySize:])) * sectorSize
}

// touches reports whether the n bytes from off are claimed, all or in part. The
// claims are sorted and do not overlap.
func (c claims) touches(off, n int64) bool {
	i, _ := slices.BinarySearchFunc(c, off, func(x claim, off int64) int {
		if x.end() <= off {
			return -1
		}
		return 1
	})
	return i < len(c) && c[i].off < off+n
}
