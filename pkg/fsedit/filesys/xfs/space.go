package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// space is what a transaction takes blocks and inodes from and gives them back to:
// the free space of the AGs, their inodes, and where the filesystem keeps them the
// reverse map and the reference counts. Changes are held as sorted slices, and are
// taken back with the operation that made them; finish builds the trees of the
// AGs that changed anew. Blocks that were given back are not given out again in
// the same transaction: content that is yet to be copied may still be read there.
type space struct {
	v     *volume // as staged
	stage *stage.Stage
}

// owner is whom the reverse map calls the owner of blocks.
type owner struct {
	ino  uint64
	attr bool // of the attribute fork
	bmbt bool // a block of a fork's map, which has no place in the fork
}

// newSpace prepares the free space of v, whose blocks are read through st.
func newSpace(v *volume, st *stage.Stage) (*space, error) { return &space{v: v, stage: st}, nil }

// allocate takes count blocks for what lies at logical of the owner's fork, in as
// few runs as there are; a run lies in one AG and fits one record of a map. It is
// all of them or ondisk.ErrNoSpace: what finish will need is never given out.
func (s *space) allocate(o owner, logical, count uint64) ([]run, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("allocating")
}

// release gives back a run of an owner. Blocks that other files share lose one
// reference. Staged changes of blocks that become free are forgotten.
func (s *space) release(o owner, r run) error {
	return ondisk.At(layer, "", ondisk.NoOffset).Unsupported("releasing")
}

// newInode takes a free inode, if it can one in the AG of near, and makes new ones
// when there is none. The inode on the disk is still a free one, with its
// generation; the caller writes it.
func (s *space) newInode(near uint64) (uint64, error) {
	return 0, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("new inodes")
}

// freeInode makes an inode free. The caller has released its blocks and writes it
// as a free one.
func (s *space) freeInode(num uint64) error {
	return ondisk.At(layer, "", ondisk.NoOffset).Unsupported("freeing inodes")
}

// finish stages the trees and headers of the AGs that changed, and the counters of
// the superblock. Nothing may be allocated after it.
func (s *space) finish() error { return nil }
