package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// boot is one reading of the boot sector.
type boot struct {
	bootSector
	wide wideBPB // zero but for FAT32
	ext  extended
	// hasExt: the fields of ext mean something.
	hasExt bool
}

// geometry is what mkfs fixed, checked and in convenient units.
type geometry struct {
	bits        uint // of a table's entry: 12, 16 or 32
	sectorSize  int64
	sectorBits  uint
	clusterSize int64 // bytes
	clusterBits uint
	fatOff      int64 // byte where the first table begins
	fatLen      int64 // bytes of each table
	fats        int
	active      int // the table that is read
	mirrored    bool
	rootOff     int64 // the fixed root of FAT12 and FAT16
	rootSlots   int
	rootCluster uint32 // of FAT32
	dataOff     int64  // byte where cluster 2 begins
	clusters    uint32 // how many; the last one is clusters+1
	size        int64  // bytes
	infoOff     int64  // 0: there is none
	stateOff    int64  // byte of extended.State
}

// readBoot reads the boot sector. Bytes that are no FAT are ErrFormat.
func readBoot(dev blockdev.Device) (*boot, error) {
	at := ondisk.At(layer, "boot sector", 0)
	raw := make([]byte, bootSize)
	if err := ondisk.Full(dev, raw, 0); err != nil {
		if errors.Is(err, ondisk.ErrCorrupt) {
			return nil, at.Format("the device is too small")
		}
		return nil, at.Wrap(err)
	}
	b := new(boot)
	if _, err := binary.Decode(raw, le, &b.bootSector); err != nil {
		return nil, at.Wrap(err)
	}
	if err := b.sane(at); err != nil {
		return nil, err
	}
	tail := b.Tail[:]
	if b.isWide() {
		if _, err := binary.Decode(tail, le, &b.wide); err != nil {
			return nil, at.Wrap(err)
		}
		tail = tail[wideSize:]
	}
	if _, err := binary.Decode(tail, le, &b.ext); err != nil {
		return nil, at.Wrap(err)
	}
	b.hasExt = b.ext.Signature == 0x28 || b.ext.Signature == 0x29
	return b, nil
}

// isWide reports whether the parameter block is FAT32's: only that has no table
// in the old field.
func (b *boot) isWide() bool { return b.FATSectors16 == 0 }

// sane refuses what no FAT says of itself, as other boot sectors do.
func (b *boot) sane(at ondisk.Place) error {
	n := b.SectorSize
	switch {
	case n < 512 || n > 4096 || n&(n-1) != 0:
		return at.In("bytes per sector").Format("%d", n)
	case b.SectorsPerCluster == 0 || b.SectorsPerCluster&(b.SectorsPerCluster-1) != 0:
		return at.In("sectors per cluster").Format("%d", b.SectorsPerCluster)
	case b.ReservedSectors == 0:
		return at.In("reserved sectors").Format("none")
	case b.FATs == 0 || b.FATs > 4:
		return at.In("tables").Format("%d", b.FATs)
	case b.Media != 0xF0 && b.Media < 0xF8:
		return at.In("media").Format("%#02x", b.Media)
	case b.Sectors16 == 0 && b.Sectors32 == 0:
		return at.In("sectors").Format("none")
	case b.isWide() && le.Uint32(b.Tail[:]) == 0:
		return at.In("sectors per table").Format("none")
	}
	return nil
}

// named reports whether the boot sector calls itself FAT.
func (b *boot) named() bool { return strings.HasPrefix(string(b.ext.Type[:]), "FAT") }

// sectors is the size of the filesystem.
func (b *boot) sectors() int64 {
	if b.Sectors16 != 0 {
		return int64(b.Sectors16)
	}
	return int64(b.Sectors32)
}

// geometry checks everything that later arithmetic relies on. No product here
// leaves 48 bits.
func (b *boot) geometry(devSize int64) (geometry, error) {
	at := ondisk.At(layer, "boot sector", 0)
	g := geometry{
		sectorSize:  int64(b.SectorSize),
		sectorBits:  uint(bits.TrailingZeros16(b.SectorSize)),
		clusterSize: int64(b.SectorSize) * int64(b.SectorsPerCluster),
		fats:        int(b.FATs),
		mirrored:    true,
		rootSlots:   int(b.RootEntries),
		size:        b.sectors() * int64(b.SectorSize),
		stateOff:    bootTail + 1,
	}
	g.clusterBits = uint(bits.TrailingZeros64(uint64(g.clusterSize)))
	g.fatOff = int64(b.ReservedSectors) << g.sectorBits
	g.fatLen = int64(b.FATSectors16) << g.sectorBits
	if b.isWide() {
		g.fatLen = int64(b.wide.FATSectors) << g.sectorBits
	}
	g.rootOff = g.fatOff + g.fatLen*int64(g.fats)
	root := int64(g.rootSlots) * slotSize
	g.dataOff = g.rootOff + root
	switch {
	case root&(g.sectorSize-1) != 0:
		return g, at.In("root entries").Corrupt("%d do not fill sectors of %d bytes", g.rootSlots, g.sectorSize)
	case g.dataOff >= g.size:
		return g, at.Corrupt("tables and root take %d bytes of %d", g.dataOff, g.size)
	case g.size > devSize:
		return g, at.In("sectors").Corrupt("%d bytes, the device has %d", g.size, devSize)
	}
	return g.typed(b, (g.size-g.dataOff)>>g.clusterBits, at)
}

// typed fills in what depends on the number of clusters.
func (g geometry) typed(b *boot, clusters int64, at ondisk.Place) (geometry, error) {
	switch {
	case b.isWide():
		g.bits = 32
	case clusters < fat12Clusters:
		g.bits = 12
	case clusters < fat16Clusters:
		g.bits = 16
	default:
		return g, at.In("sectors per table").Corrupt("%d for %d clusters", b.FATSectors16, clusters)
	}
	if clusters == 0 || clusters > fat32Clusters {
		return g, at.Corrupt("%d clusters", clusters)
	}
	g.clusters = uint32(clusters)
	if need := g.tableBytes(); need > g.fatLen {
		return g, at.In("sectors per table").Corrupt("a table has %d bytes, %d clusters need %d", g.fatLen, clusters, need)
	}
	if g.bits != 32 {
		if g.rootSlots == 0 {
			return g, at.In("root entries").Corrupt("none")
		}
		return g, nil
	}
	return g.wide(b, at)
}

// wide fills in what only FAT32 has.
func (g geometry) wide(b *boot, at ondisk.Place) (geometry, error) {
	if b.wide.Version != 0 {
		return g, at.In("version").Unsupported("%d.%d", b.wide.Version>>8, b.wide.Version&0xFF)
	}
	g.rootCluster = b.wide.RootCluster
	if !g.inVolume(g.rootCluster) {
		return g, at.In("root cluster").Corrupt("%d of %d", g.rootCluster, g.clusters)
	}
	if b.wide.Flags&flagNotMirrored != 0 {
		g.mirrored, g.active = false, int(b.wide.Flags&flagActive)
		if g.active >= g.fats {
			return g, at.In("flags").Corrupt("table %d of %d is in use", g.active, g.fats)
		}
	}
	if s := b.wide.InfoSector; s > 0 && s < b.ReservedSectors {
		g.infoOff = int64(s) << g.sectorBits
	}
	g.stateOff += wideSize
	return g, nil
}

// tableBytes is how much of a table its entries take.
func (g *geometry) tableBytes() int64 {
	return ondisk.DivUp((int64(g.clusters)+2)*int64(g.bits), 8)
}

// inVolume reports whether c is the number of a cluster.
func (g *geometry) inVolume(c uint32) bool { return c >= 2 && c-2 < g.clusters }

// clusterOff is the byte where cluster c begins.
func (g *geometry) clusterOff(c uint32) int64 { return g.dataOff + int64(c-2)<<g.clusterBits }

// tableOff is the byte where a table begins.
func (g *geometry) tableOff(table int) int64 { return g.fatOff + int64(table)*g.fatLen }

func (g *geometry) name() string { return fmt.Sprintf("FAT%d", g.bits) }

// uuid is the serial number as blkid(8) shows it.
func (b *boot) uuid() string {
	if !b.hasExt {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", b.ext.VolumeID>>16, b.ext.VolumeID&0xFFFF)
}
