package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// volume is an open filesystem. Metadata is read through a bounded cache of raw
// blocks, so that opening costs a few reads, and is verified each time that it is
// decoded. After Open it does not change.
type volume struct {
	dev    blockdev.Device
	limits ondisk.Limits
	geometry
	super    *superState
	blocks   *ondisk.BlockCache[uint64]
	replayed bool
	unsure   string // why free space cannot be told; empty when it can
	notices  []string
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
	if p := v.blocks.Get(cacheKey(off, count)); p != nil {
		return p, nil
	}
	p := make([]byte, int64(count)<<v.blockBits)
	if err := ondisk.Full(v.dev, p, off); err != nil {
		return nil, ondisk.At(layer, "block", off).Wrap(err)
	}
	return v.blocks.Put(cacheKey(off, count), p), nil
}

// readNear returns one block, and reads those around it into the cache: the
// window of its AG that holds a chunk of 64 inodes.
func (v *volume) readNear(fsb uint64) ([]byte, error) {
	if !v.extentOK(fsb, 1) {
		return nil, ondisk.At(layer, "block", ondisk.NoOffset).Corrupt("number %#x outside the filesystem", fsb)
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
	if err := ondisk.Full(v.dev, p, off); err != nil {
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

func (v *volume) Ident() filesys.Ident { return v.super.ident() }

func (v *volume) Root(subvolume string) (filesys.FS, error) {
	if subvolume != "" {
		return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("xfs has no subvolume %q", subvolume)
	}
	return &tree{v}, nil
}

// Edit fails: writing is not implemented.
func (v *volume) Edit(filesys.EditOptions) (filesys.Editor, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("%s", v.readOnly())
}
