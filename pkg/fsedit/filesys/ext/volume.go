package ext

import (
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// layer names this package in errors.
const layer = "ext"

// volume is an open filesystem. What mkfs fixed is in geometry and never
// changes; the counters of the superblock may, and are read through super.
// Metadata is read through a bounded cache of raw blocks, so that opening costs
// one read, and is verified each time that it is decoded.
type volume struct {
	dev    blockdev.Device
	limits ondisk.Limits
	geometry
	state    atomic.Pointer[superState]
	blocks   *ondisk.BlockCache[uint64]
	replayed bool
	notices  []string
	editing  atomic.Bool // an editor is open
}

var _ filesys.Volume = (*volume)(nil)

// newVolume reads and checks the superblock of dev.
func newVolume(dev blockdev.Device, limits ondisk.Limits) (*volume, error) {
	limits = limits.OrDefault()
	s, err := readSuper(dev)
	if err != nil {
		return nil, err
	}
	geo, err := s.geometry(dev.Size())
	if err != nil {
		return nil, err
	}
	if table := int64(geo.gdtBlocks) << geo.blockBits; table > limits.Table {
		return nil, ondisk.At(layer, "superblock", superOffset).TooBig("%d bytes of group descriptors", table)
	}
	v := &volume{dev: dev, limits: limits, geometry: geo, blocks: ondisk.NewBlockCache[uint64](limits.Cache)}
	v.state.Store(s)
	return v, nil
}

// on is the same filesystem read from another device: a staged edit over v's.
// It shares nothing that can change.
func (v *volume) on(dev blockdev.Device) (*volume, error) {
	w, err := newVolume(dev, v.limits)
	if err != nil {
		return nil, err
	}
	w.replayed, w.notices = v.replayed, v.notices
	return w, nil
}

// reload forgets what was read: the device has new bytes.
func (v *volume) reload() error {
	s, err := readSuper(v.dev)
	if err != nil {
		return err
	}
	v.state.Store(s)
	v.blocks.Clear()
	return nil
}

// super is the superblock as last read or reloaded.
func (v *volume) super() *superState { return v.state.Load() }

// readBlock returns block n. The slice is shared: whoever changes it copies it
// first.
func (v *volume) readBlock(n uint64) ([]byte, error) { return v.readBlocks(n, 1) }

// readAhead is how many bytes are read at once where neighbours will follow.
const readAhead = 32 << 10

// readBlocks returns block n, and reads up to count blocks from there on into
// the cache.
func (v *volume) readBlocks(n, count uint64) ([]byte, error) {
	if p := v.blocks.Get(n); p != nil {
		return p, nil
	}
	count = max(1, min(count, readAhead>>v.blockBits))
	if !v.inVolume(n, count) {
		return nil, ondisk.At(layer, "block", ondisk.NoOffset).Corrupt("number %d outside the filesystem", n)
	}
	p := make([]byte, int64(count)<<v.blockBits)
	off := v.byteOff(n)
	if err := ondisk.Full(v.dev, p, off); err != nil {
		return nil, ondisk.At(layer, "block", off).Wrap(err)
	}
	for i := range count {
		block := p[int64(i)<<v.blockBits:][:v.blockSize:v.blockSize]
		v.blocks.Put(n+i, block)
	}
	return p[:v.blockSize:v.blockSize], nil
}

func (v *volume) Ident() filesys.Ident { return v.super().ident() }

func (v *volume) Root(subvolume string) (filesys.FS, error) {
	if subvolume != "" {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("ext has no subvolume %q", subvolume)
	}
	return &tree{v}, nil
}
