package ext

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// recover replays the log into dev and marks it empty. A log with fast commits
// behind it is replayed up to them and left as it is: the guest's own kernel
// does the rest when it mounts.
func (j *journal) recover(ctx context.Context, dev blockdev.Writable) error {
	if j.super.Start == 0 {
		return j.finish(dev, j.super.Sequence)
	}
	todo, next, err := j.scan(ctx)
	if err != nil {
		return err
	}
	if err := j.replay(ctx, dev, todo); err != nil {
		return err
	}
	j.v.replayed = true
	fast, err := j.hasFastCommit(next)
	if err != nil {
		return err
	}
	if fast {
		j.v.notices = append(j.v.notices, "fast commits in the journal are not replayed: files show the last full commit")
		return j.v.rebase()
	}
	return j.finish(dev, next+1)
}

// replay writes what the transactions hold, but for blocks that were revoked
// later: they were freed, and may be file content since.
func (j *journal) replay(ctx context.Context, dev blockdev.Writable, todo []logEntry) error {
	revoked, err := j.revoked(todo)
	if err != nil {
		return err
	}
	for _, e := range todo {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.kind != blockDescriptor {
			continue
		}
		if err := j.replayBlocks(dev, e, revoked); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) replayBlocks(dev blockdev.Writable, e logEntry, revoked map[uint64]uint32) error {
	block, err := j.read(e.pos)
	if err != nil {
		return err
	}
	at := ondisk.At(layer, "journal", ondisk.NoOffset).In("transaction %d", e.seq)
	for i, tag := range j.tags(block) {
		if last, ok := revoked[tag.block]; ok && int32(last-e.seq) >= 0 {
			continue
		}
		data, err := j.read(j.after(e.pos, uint32(i)+1))
		if err != nil {
			return err
		}
		if !j.dataOK(tag, e.seq, data) {
			return at.Corrupt("wrong checksum of the data for block %d", tag.block)
		}
		if tag.block >= j.v.blockCount {
			return at.Corrupt("data for block %d of %d", tag.block, j.v.blockCount)
		}
		tag.unescape(data)
		if _, err := dev.WriteAt(data, j.v.byteOff(tag.block)); err != nil {
			return at.Wrap(err)
		}
	}
	return nil
}

// revoked maps blocks to the last transaction that revoked them.
func (j *journal) revoked(todo []logEntry) (map[uint64]uint32, error) {
	out := map[uint64]uint32{}
	limit := int(j.v.limits.Table / 16)
	for _, e := range todo {
		if e.kind != blockRevoke {
			continue
		}
		block, err := j.read(e.pos)
		if err != nil {
			return nil, err
		}
		list, err := j.revokeList(block, e.seq)
		if err != nil {
			return nil, err
		}
		for _, nr := range list {
			if last, ok := out[nr]; !ok || int32(e.seq-last) > 0 {
				out[nr] = e.seq
			}
		}
		if len(out) > limit {
			return nil, ondisk.At(layer, "journal", ondisk.NoOffset).TooBig("more than %d revoked blocks", limit)
		}
	}
	return out, nil
}

// revokeList decodes a revoke block: a count of bytes, then block numbers.
func (j *journal) revokeList(block []byte, seq uint32) ([]uint64, error) {
	const header = journalHeader + 4
	room := len(block)
	if j.checksums() {
		room -= 4
	}
	used := int64(be.Uint32(block[journalHeader:]))
	if used < header || used > int64(room) {
		return nil, ondisk.At(layer, "journal", ondisk.NoOffset).In("transaction %d", seq).Corrupt("a revoke block of %d bytes", used)
	}
	width := 4
	if j.has(ji64Bit) {
		width = 8
	}
	var out []uint64
	for p := block[header:used]; len(p) >= width; p = p[width:] {
		if width == 8 {
			out = append(out, be.Uint64(p))
		} else {
			out = append(out, uint64(be.Uint32(p)))
		}
	}
	return out, nil
}

// finish marks the log empty, with a sequence number that no block in it has,
// then clears the flag in the superblock, which the replay may have rewritten.
func (j *journal) finish(dev blockdev.Writable, sequence uint32) error {
	failed := j.super.Errno != 0
	be.PutUint32(j.raw[jsSequence:], sequence)
	be.PutUint32(j.raw[jsStart:], 0)
	be.PutUint32(j.raw[jsErrno:], 0)
	if j.checksums() {
		be.PutUint32(j.raw[jsChecksum:], journalSuperSum(j.raw))
	}
	off, err := j.place(0)
	if err != nil {
		return err
	}
	if _, err := dev.WriteAt(j.raw, off); err != nil {
		return fmt.Errorf("ext: journal superblock: %w", err)
	}
	return j.finishSuper(dev, failed)
}

// finishSuper clears the flag in the superblock and, as a mount does, sums its
// free counts up anew: they are not kept in the log.
func (j *journal) finishSuper(dev blockdev.Writable, failed bool) error {
	if err := j.v.rebase(); err != nil {
		return err
	}
	blocks, inodes, err := j.v.freeCounts()
	if err != nil {
		return err
	}
	s := j.v.super()
	raw := s.raw
	le.PutUint32(raw[sbFeatureIncompat:], s.FeatureIncompat&^fiRecover)
	le.PutUint32(raw[sbFreeBlocksLo:], uint32(blocks))
	if s.FeatureIncompat&fi64Bit != 0 {
		le.PutUint32(raw[sbFreeBlocksHi:], uint32(blocks>>32))
	}
	le.PutUint32(raw[sbFreeInodes:], inodes)
	if failed {
		le.PutUint16(raw[sbState:], s.State|stateErrors)
	}
	sealSuper(raw[:])
	if _, err := dev.WriteAt(raw[:], superOffset); err != nil {
		return fmt.Errorf("ext: superblock: %w", err)
	}
	if err := dev.Sync(); err != nil {
		return fmt.Errorf("ext: %w", err)
	}
	return j.v.rebase()
}

// freeCounts sums up what the group descriptors say.
func (v *volume) freeCounts() (blocks uint64, inodes uint32, err error) {
	for n := range v.groupCount {
		g, err := v.group(n)
		if err != nil {
			return 0, 0, err
		}
		blocks += uint64(g.freeClusters()) << v.clusterBits
		inodes += g.freeInodes()
	}
	return blocks, inodes, nil
}

// rebase reads everything anew after a replay, sizes too: the log may hold the
// growth of the filesystem.
func (v *volume) rebase() error {
	if err := v.reload(); err != nil {
		return err
	}
	geo, err := v.super().geometry(v.dev.Size())
	v.geometry = geo
	return err
}
