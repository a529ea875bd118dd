package fat

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// layer names this package in errors.
const layer = "fat"

// volume is an open filesystem. Tables and directories are read through a
// bounded cache of sectors.
type volume struct {
	dev    blockdev.Device
	limits ondisk.Limits
	boot   *boot
	geometry
	cache   *ondisk.BlockCache[uint64]
	ids     atomic.Pointer[identities]
	editing atomic.Bool // an editor is open

	auditing sync.Mutex
	audited  *audit // nil until asked for
}

var _ filesys.Volume = (*volume)(nil)

func newVolume(dev blockdev.Device, limits ondisk.Limits) (*volume, error) {
	b, err := readBoot(dev)
	if err != nil {
		return nil, err
	}
	geo, err := b.geometry(dev.Size())
	if err != nil {
		return nil, err
	}
	return openVolume(dev, limits, b, geo), nil
}

func openVolume(dev blockdev.Device, limits ondisk.Limits, b *boot, geo geometry) *volume {
	limits = limits.OrDefault()
	v := &volume{dev: dev, limits: limits, boot: b, geometry: geo, cache: ondisk.NewBlockCache[uint64](limits.Cache)}
	v.ids.Store(newIdentities())
	return v
}

// on is the same filesystem read from another device: a staged edit over v's.
// It shares nothing that can change.
func (v *volume) on(dev blockdev.Device) *volume {
	w := openVolume(dev, v.limits, v.boot, v.geometry)
	w.ids.Store(v.ids.Load().clone())
	return w
}

// readAhead is how many bytes are read at once where neighbours will follow.
const readAhead = 32 << 10

// sectors returns sector nr, and reads up to count from there on into the
// cache. The slice is shared and must not be changed.
func (v *volume) sectors(nr uint64, count int64) ([]byte, error) {
	if p := v.cache.Get(nr); p != nil {
		return p, nil
	}
	off := int64(nr) << v.sectorBits
	n := min(max(1, count)<<v.sectorBits, v.size-off)
	if n < v.sectorSize {
		return nil, ondisk.At(layer, "sector", ondisk.NoOffset).Corrupt("number %d outside the filesystem", nr)
	}
	p := make([]byte, n)
	if err := ondisk.Full(v.dev, p, off); err != nil {
		return nil, ondisk.At(layer, "sector", off).Wrap(err)
	}
	for i := int64(0); i < n; i += v.sectorSize {
		v.cache.Put(nr+uint64(i>>v.sectorBits), p[i:i+v.sectorSize:i+v.sectorSize])
	}
	return p[:v.sectorSize:v.sectorSize], nil
}

// cached appends n bytes from off, both whole sectors, to p.
func (v *volume) cached(p []byte, off, n int64) ([]byte, error) {
	for ; n > 0; off, n = off+v.sectorSize, n-v.sectorSize {
		raw, err := v.sectors(uint64(off>>v.sectorBits), min(n, readAhead)>>v.sectorBits)
		if err != nil {
			return nil, err
		}
		p = append(p, raw...)
	}
	return p, nil
}

func (v *volume) Ident() filesys.Ident {
	return filesys.Ident{Type: "vfat", UUID: v.boot.uuid(), Label: v.label(), Size: v.size}
}

// label is the one in the root directory: the one in the boot sector is a copy
// that nobody keeps up to date.
func (v *volume) label() string {
	d, err := v.readDir(v.rootDir())
	if err != nil {
		return ""
	}
	for s := range d.slots() {
		if s.Attr&attrMask != attrLong && s.Attr&(attrVolume|attrDir) == attrVolume {
			return shownLabel(s.Name)
		}
	}
	return ""
}

func (v *volume) Root(subvolume string) (filesys.FS, error) {
	if subvolume != "" {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("FAT has no subvolume %q", subvolume)
	}
	return &tree{v}, nil
}

// Space counts the free clusters; the hint of FAT32 is not believed.
func (v *volume) Space() filesys.Space {
	s := filesys.Space{BlockSize: v.clusterSize, Blocks: int64(v.clusters)}
	if free, err := v.freeClusters(context.Background()); err == nil {
		s.FreeBlocks, s.AvailBlocks = int64(free), int64(free)
	}
	return s
}

// Info tells what an audit of the whole filesystem found.
func (v *volume) Info() filesys.Info {
	info := filesys.Info{Features: []string{v.name()}}
	a, err := v.audit(context.Background())
	switch {
	case err != nil:
		info.ReadOnly = err.Error()
	case a.problem != nil:
		info.ReadOnly = a.problem.Error() + "; run fsck.fat in the guest"
	case !v.mirrored:
		info.ReadOnly = notMirrored
	}
	if a != nil && !a.same {
		info.Notices = append(info.Notices, "the tables of the filesystem differ; the first one that is in use is read")
	}
	return v.stateNotices(info)
}

const notMirrored = "only one of its tables is kept up to date"

// stateNotices tells what the marks of a mounted or damaged filesystem say. They
// are hints: Linux sets them while it has it mounted and does not look at them.
func (v *volume) stateNotices(info filesys.Info) filesys.Info {
	note := func(text string) { info.Notices = append(info.Notices, text) }
	dirty := v.boot.hasExt && v.boot.ext.State&stateDirty != 0
	if v.bits > 12 {
		c := cursor{v: v}
		if e, err := c.entry(1); err == nil {
			if v.bits == 16 {
				e <<= 12 // to where FAT32 has them
			}
			dirty = dirty || e>>27&1 == 0
			if e>>26&1 == 0 {
				note("the guest met read errors in this filesystem")
			}
		}
	}
	if dirty {
		note("the filesystem was not unmounted")
	}
	return info
}
