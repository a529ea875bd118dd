package xfs

import (
	"sync/atomic"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// volume is an open filesystem. Metadata is read through a bounded cache of raw
// blocks, so that opening costs a few reads, and is verified each time that it is
// decoded. After Open only the counters of the superblock change, with a Commit.
type volume struct {
	dev    blockdev.Device
	limits ondisk.Limits
	geometry
	super    *superState                // as opened
	latest   atomic.Pointer[superState] // with the counters as they are now
	stage    *stage.Stage               // that dev is, in a transaction
	blocks   *ondisk.BlockCache[uint64]
	replayed bool
	unended  *logState // of a log that was replayed and not marked clean
	unsure   string    // why free space cannot be told; empty when it can
	notices  []string
	editing  atomic.Bool // an editor is open
}

var _ filesys.Volume = (*volume)(nil)

// newVolume reads and checks the superblock of dev.
func newVolume(dev blockdev.Device, limits ondisk.Limits) (*volume, error) {
	limits = limits.OrDefault()
	v := &volume{dev: dev, limits: limits, blocks: ondisk.NewBlockCache[uint64](limits.Cache)}
	return v, v.rebase()
}

// rebase reads everything anew, sizes too: the log may hold the growth of the
// filesystem.
func (v *volume) rebase() error {
	s, err := readSuper(v.dev)
	if err != nil {
		return err
	}
	geo, err := s.geometry(v.dev.Size())
	if err != nil {
		return err
	}
	if !geo.inodeOK(s.RootIno) {
		return ondisk.At(layer, "superblock", 0).In("root inode").Corrupt("%d", s.RootIno)
	}
	v.super, v.geometry = s, geo
	v.latest.Store(s)
	v.blocks.Clear()
	return nil
}

// on is the same filesystem with what was changed so far.
func (v *volume) on(st *stage.Stage) (*volume, error) {
	w, err := newVolume(st, v.limits)
	if err != nil {
		return nil, err
	}
	w.stage = st
	return w, nil
}

// reload forgets what was read: the device has new bytes.
func (v *volume) reload() error {
	s, err := readSuper(v.dev)
	if err != nil {
		return err
	}
	v.latest.Store(s)
	v.blocks.Clear()
	return nil
}

// cacheKey tells runs of blocks of different lengths apart: an offset is a
// multiple of 512, and no run has more blocks than that.
func cacheKey(off int64, count uint64) uint64 { return uint64(off) | (count - 1) }

// maxRun is the largest number of blocks that are read as one structure.
const maxRun = 512

// readBlocks returns count blocks from fsb on. The slice is shared: whoever
// changes it copies it first.
func (v *volume) readBlocks(fsb, count uint64) ([]byte, error) {
	if count == 0 || count > maxRun || !v.extentOK(fsb, count) {
		return nil, ondisk.At(layer, "block", ondisk.NoOffset).Corrupt("number %#x outside the filesystem", fsb)
	}
	off := v.byteOff(fsb)
	if v.stage != nil {
		if count > 1 {
			return v.eachBlock(fsb, count)
		}
		if p := v.stage.Block(uint64(off) >> v.blockBits); p != nil {
			return p, nil
		}
	}
	if p := v.blocks.Get(cacheKey(off, count)); p != nil {
		return p, nil
	}
	p := make([]byte, int64(count)<<v.blockBits)
	if err := ondisk.Full(v.device(), p, off); err != nil {
		return nil, ondisk.At(layer, "block", off).Wrap(err)
	}
	return v.blocks.Put(cacheKey(off, count), p), nil
}

// eachBlock is readBlocks where each block can have changed.
func (v *volume) eachBlock(fsb, count uint64) ([]byte, error) {
	out := make([]byte, 0, int64(count)<<v.blockBits)
	for i := range count {
		p, err := v.readBlocks(fsb+i, 1)
		if err != nil {
			return nil, err
		}
		out = append(out, p...)
	}
	return out, nil
}

// readNear returns one block, and reads those around it into the cache: the
// window of its AG that holds a chunk of 64 inodes.
func (v *volume) readNear(fsb uint64) ([]byte, error) {
	if !v.extentOK(fsb, 1) {
		return nil, ondisk.At(layer, "block", ondisk.NoOffset).Corrupt("number %#x outside the filesystem", fsb)
	}
	if v.stage != nil && v.stage.Block(uint64(v.byteOff(fsb))>>v.blockBits) != nil {
		return v.readBlocks(fsb, 1)
	}
	if p := v.blocks.Get(cacheKey(v.byteOff(fsb), 1)); p != nil {
		return p, nil
	}
	ag, agbno := v.split(fsb)
	window := max(1, uint32(64)>>v.inopBits)
	first := agbno - agbno%window
	count := min(window, v.agSize(uint32(ag))-first)
	off := v.byteOff(v.fsblock(uint32(ag), first))
	p := make([]byte, int64(count)<<v.blockBits)
	if err := ondisk.Full(v.device(), p, off); err != nil {
		return nil, ondisk.At(layer, "block", off).Wrap(err)
	}
	var out []byte
	for i := range count {
		block := p[int64(i)<<v.blockBits:][:v.blockSize:v.blockSize]
		block = v.blocks.Put(cacheKey(off+int64(i)<<v.blockBits, 1), block)
		if first+i == agbno {
			out = block
		}
	}
	return out, nil
}

// device is where the blocks of the cache come from: what is staged is not in it.
func (v *volume) device() blockdev.Device {
	if v.stage != nil {
		return v.stage.Below()
	}
	return v.dev
}

func (v *volume) Ident() filesys.Ident { return v.super.ident() }

func (v *volume) Root(subvolume string) (filesys.FS, error) {
	if subvolume != "" {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("xfs has no subvolume %q", subvolume)
	}
	return &tree{v}, nil
}
