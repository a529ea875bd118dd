package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// create replays the making of a chunk of inodes, which is logged as an order:
// blocks full of inodes that are not in use.
func (r *logReplay) create(it *logItem) error {
	c := ondisk.NewCursor(it.regions[0], be)
	c.Skip(4)
	ag, agbno, count, size, length, gen := c.U32(), c.U32(), c.U32(), c.U32(), c.U32(), c.U32()
	fsb := r.v.fsblock(ag, agbno)
	if c.Err() != nil || ag >= r.v.agCount || agbno >= r.v.agBlocks || length == 0 || length > maxRun || !r.v.extentOK(fsb, uint64(length)) {
		return r.at().Corrupt("%d blocks of inodes at %d of group %d", length, agbno, ag)
	}
	if int64(size) != int64(r.v.inodeSize) || uint64(count) != uint64(length)<<r.v.inopBits {
		return r.at().Corrupt("%d inodes of %d bytes in %d blocks", count, size, length)
	}
	off := r.v.byteOff(fsb)
	if r.chunkCancelled(off, int64(length)<<r.v.blockBits) {
		return nil
	}
	if off < r.log.off+r.log.size<<logBlockBits && r.log.off < off+int64(length)<<r.v.blockBits {
		return r.at().Corrupt("inodes in the log")
	}
	p := make([]byte, int64(length)<<r.v.blockBits)
	for i := range int(count) {
		r.v.freshInode(p[i<<r.v.inodeBits:][:r.v.inodeSize], fsb<<r.v.inopBits+uint64(i), gen)
	}
	return r.store(p, off)
}

// chunkCancelled reports whether a part of a chunk is freed later in the log.
func (r *logReplay) chunkCancelled(off, n int64) bool {
	step := r.clusterSize()
	for at := off; at < off+n; at += step {
		if r.cancels[bufKey{at >> daddrBits, step >> daddrBits}] > 0 {
			return true
		}
	}
	return false
}

// clusterSize is the bytes of inodes that are one buffer: 8 KiB, or in version
// 5 that for each 256 bytes of an inode where chunks are aligned enough.
func (r *logReplay) clusterSize() int64 {
	size := int64(8 << 10)
	if r.v.v5() {
		wide := size * int64(r.v.inodeSize) / 256
		if int64(r.v.super.InoAlignMt) >= wide>>r.v.blockBits {
			size = wide
		}
	}
	return max(size, r.v.blockSize)
}

// freshInode fills in an inode that was never in use.
func (v *volume) freshInode(p []byte, num uint64, gen uint32) {
	be.PutUint16(p, inodeMagic)
	p[4] = 2
	be.PutUint32(p[92:], gen)
	be.PutUint32(p[inNextUnlinked:], nullAGIno)
	if v.v5() {
		p[4] = 3
		be.PutUint64(p[inIno:], num)
		copy(p[inUUID:], v.uuid[:])
		inodeStamp.seal(p)
	}
}

// dquot replays the counters of one owner, unless its quotas were turned off.
func (r *logReplay) dquot(it *logItem) error {
	c := ondisk.NewCursor(it.regions[0], le)
	c.Skip(8) // type, regions, owner
	k := bufKey{int64(c.U64()), int64(int32(c.U32()))}
	offset := int64(c.U32())
	core, ok := it.region(1)
	if c.Err() != nil || !ok || len(core) < dquotSize || be.Uint16(core) != 0x4451 {
		return r.at().Corrupt("a quota item of %d bytes", len(core))
	}
	if core[3]&r.quotaOff != 0 || r.cancels[k] > 0 {
		return nil
	}
	buf, off, err := r.load(k)
	if err != nil {
		return err
	}
	if !ondisk.InRange(offset, dquotBlock, int64(len(buf))) {
		return r.at().Corrupt("a quota record at %d of %d bytes", offset, len(buf))
	}
	p := buf[offset:][:dquotBlock]
	if r.v.v5() {
		if have := lsn(be.Uint64(p[dquotLSN:])); have != 0 && have != noLSN && have >= r.now {
			return nil
		}
	}
	copy(p, core[:dquotSize])
	if r.v.v5() {
		stamp{crc: dquotCRC}.seal(p)
	}
	return r.store(p, off+offset)
}
