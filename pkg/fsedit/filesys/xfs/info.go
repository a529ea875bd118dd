package xfs

import (
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

func (v *volume) Info() filesys.Info {
	return filesys.Info{
		Features: v.features.names(),
		Replayed: v.replayed,
		ReadOnly: v.readOnly(),
		Notices:  append(v.stateNotices(), v.notices...),
	}
}

// readOnly says why the volume cannot be edited; empty when it can.
func (v *volume) readOnly() string {
	switch names := v.withPolicy(read); {
	case v.has(incompat, fiNeedsRepair):
		return "it is marked as needing repair; run xfs_repair in the guest"
	case len(names) > 0:
		return "feature " + strings.Join(names, ", ") + " cannot be edited"
	case v.unsure != "":
		return v.unsure
	case !v.v5() && !v.has(versionBits, fvNLink):
		return "its inodes count links as IRIX did"
	}
	return ""
}

// stateNotices tell what xfs_repair(8) would be run for, and what is not there.
func (v *volume) stateNotices() []string {
	var out []string
	if v.has(incompat, fiNeedsRepair) {
		out = append(out, "the filesystem is marked as needing xfs_repair")
	}
	if v.super.RBlocks != 0 {
		out = append(out, "its realtime device is not here: files on it cannot be read")
	}
	if v.replayed {
		return out
	}
	switch left, err := v.orphans(); {
	case err != nil:
		out = append(out, err.Error())
	case left:
		out = append(out, "deleted files still take space; run xfs_repair in the guest")
	}
	return out
}

// Space is what df(1) shows of a read-only mount. One that is written to reserves
// more blocks for itself. Inodes are made when they are needed, so that their
// number follows from the free blocks.
func (v *volume) Space() filesys.Space {
	s := v.latest.Load()
	blocks := int64(v.blockCount)
	free := int64(min(s.FDBlocks, v.blockCount))
	free = max(0, free-8*int64(v.agCount)) // kept to split B-trees: XFS_ALLOCBT_AGFL_RESERVE + 4 in each group
	total := s.ICount + uint64(free)<<v.inopBits
	if limit := v.mostInodes(); limit != 0 {
		total = min(total, limit)
	}
	total = max(total, s.ICount)
	if s.LogStart != 0 {
		blocks -= min(blocks, int64(s.LogBlocks))
	}
	return filesys.Space{
		BlockSize:   v.blockSize,
		Blocks:      blocks,
		FreeBlocks:  free,
		AvailBlocks: free,
		Inodes:      int64(min(total, 1<<62)),
		FreeInodes:  int64(min(total-(s.ICount-min(s.ICount, s.IFree)), 1<<62)),
	}
}

// mostInodes is how many inodes the share of the space that they may take holds:
// whole chunks of 64. 0 is no limit.
func (v *volume) mostInodes() uint64 {
	s := v.super
	if s.IMaxPct == 0 {
		return 0
	}
	const chunk = 64
	perChunk := max(1, chunk>>v.inopBits) // blocks
	blocks := v.blockCount * uint64(s.IMaxPct) / 100
	return blocks / uint64(perChunk) * uint64(perChunk) << v.inopBits
}
