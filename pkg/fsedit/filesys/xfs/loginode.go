package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// inodeFormat describes a logged inode.
type inodeFormat struct {
	bufKey
	fields uint32
	num    uint64
	rdev   uint32
	offset int // in the buffer
}

func (r *logReplay) inodeFormat(it *logItem) (inodeFormat, error) {
	p := it.regions[0]
	c := ondisk.NewCursor(p, le)
	c.Skip(4)
	f := inodeFormat{fields: c.U32()}
	c.Skip(4)
	if len(p) != ilPacked {
		c.Skip(4)
	}
	f.num = c.U64()
	f.rdev = c.U32()
	c.Skip(12)
	f.bufKey = bufKey{int64(c.U64()), int64(int32(c.U32()))}
	f.offset = int(int32(c.U32()))
	if c.Err() != nil || len(p) != ilPacked && len(p) != ilFormat {
		return f, r.at().Corrupt("an inode item of %d bytes", len(p))
	}
	return f, nil
}

// inode replays a logged inode: its core, in the order of the machine, and its
// forks, as they are on the disk.
func (r *logReplay) inode(it *logItem) error {
	f, err := r.inodeFormat(it)
	if err != nil {
		return err
	}
	if r.cancels[f.bufKey] > 0 {
		return nil
	}
	if f.fields&(ilDOwner|ilAOwner) != 0 {
		return r.at().Unsupported("inode %d has exchanged its blocks with another", f.num)
	}
	buf, off, err := r.load(f.bufKey)
	if err != nil {
		return err
	}
	if f.offset < 0 || f.offset&(r.v.inodeSize-1) != 0 || f.offset+r.v.inodeSize > len(buf) {
		return r.at().Corrupt("inode %d at %d of %d bytes", f.num, f.offset, len(buf))
	}
	p := buf[f.offset:][:r.v.inodeSize]
	core, ok := it.region(1)
	want := logCore2
	if r.v.v5() {
		want = logCore3
	}
	if !ok || len(core) < want || le.Uint16(core) != inodeMagic || be.Uint16(p) != inodeMagic {
		return r.at().Corrupt("inode %d is not where it should be", f.num)
	}
	if r.inodeIsNewer(p, core) {
		return nil
	}
	r.putCore(p, core)
	if err := r.putForks(it, f, p); err != nil {
		return err
	}
	if r.v.v5() {
		inodeStamp.seal(p)
	}
	return r.store(p, off+int64(f.offset))
}

// inodeIsNewer compares LSNs, or the flush counters of version 2, which wrap.
func (r *logReplay) inodeIsNewer(p, core []byte) bool {
	if p[4] >= 3 {
		have := lsn(be.Uint64(p[inLSN:]))
		return have != 0 && have != noLSN && have > r.now
	}
	if r.v.v5() {
		return false
	}
	have, logged := be.Uint16(p[inFlushAt:]), le.Uint16(core[inFlushAt:])
	return logged < have && !(have == maxFlush && logged < maxFlush>>1)
}

// putCore turns a logged core into one of the disk. The list of deleted inodes
// is logged in buffers, the counter of flushes starts anew.
func (r *logReplay) putCore(p, core []byte) {
	swap := func(width int, offs ...int) {
		for _, off := range offs {
			for i := range width {
				p[off+i] = core[off+width-1-i]
			}
		}
	}
	three := core[4] >= 3
	flags2 := uint64(0)
	if three {
		flags2 = le.Uint64(core[120:])
	}
	copy(p[4:6], core[4:6])     // version, format
	copy(p[82:84], core[82:84]) // fork offset, format of attributes
	swap(2, 0, 2, 6, 20, 22, 88, 90)
	swap(4, 8, 12, 16, 72, 84, 92)
	swap(8, 56, 64)
	times := []int{32, 40, 48}
	if three {
		times = append(times, 144)
	}
	if flags2&di2Bigtime != 0 {
		swap(8, times...)
	} else {
		for _, off := range times {
			swap(4, off, off+4)
		}
	}
	if flags2&di2NRExt64 != 0 {
		swap(8, 24)
		swap(4, 76)
		clear(p[80:82])
	} else {
		clear(p[24:32])
		swap(4, 76)
		swap(2, 80)
	}
	if three {
		swap(8, 104, 120, 152)
		swap(4, 128)
		clear(p[132:144])
		copy(p[160:176], core[160:176])
		be.PutUint64(p[inLSN:], uint64(r.now))
	}
}

// putForks copies what was logged of the forks.
func (r *logReplay) putForks(it *logItem, f inodeFormat, p []byte) error {
	start := inodeCore2
	if p[4] >= 3 {
		start = inodeCore3
	}
	split := len(p)
	if p[82] != 0 {
		split = start + int(p[82])*8
	}
	if split > len(p) {
		return r.at().Corrupt("the forks of inode %d meet at %d", f.num, split)
	}
	if f.fields&ilDev != 0 {
		be.PutUint32(p[start:], f.rdev)
	}
	next := 2
	for _, part := range []struct {
		fields, root uint32
		to           []byte
	}{{ilDFork, ilDBroot, p[start:split]}, {ilAFork, ilABroot, p[split:]}} {
		if f.fields&part.fields == 0 {
			continue
		}
		region, ok := it.region(next)
		next++
		if !ok {
			return r.at().Corrupt("a fork of inode %d was not logged", f.num)
		}
		if err := r.putFork(f, part.to, region, f.fields&part.root != 0); err != nil {
			return err
		}
	}
	return nil
}

// putFork copies one fork. The root of a map is logged as it is in memory, a
// whole block: its pointers move to where the inode has them.
func (r *logReplay) putFork(f inodeFormat, to, from []byte, root bool) error {
	if !root {
		if len(from) > len(to) {
			return r.at().Corrupt("a fork of %d bytes in inode %d, which has room for %d", len(from), f.num, len(to))
		}
		copy(to, from)
		return nil
	}
	header := longHeader4
	if r.v.v5() {
		header = longHeader5
	}
	if len(from) < header || len(to) < 4 {
		return r.at().Corrupt("the root of a map of %d bytes in inode %d", len(from), f.num)
	}
	count, body := int(be.Uint16(from[6:])), from[header:]
	room, toRoom := len(body)/(bmbtKeySize+bmbtPtrSize), bmdrRoom(len(to))
	if count > room || count > toRoom {
		return r.at().Corrupt("the root of a map with %d of %d entries in inode %d", count, toRoom, f.num)
	}
	copy(to, from[4:8]) // level, count
	copy(to[4:], body[:count*bmbtKeySize])
	copy(to[4+toRoom*bmbtKeySize:], body[room*bmbtKeySize:][:count*bmbtPtrSize])
	return nil
}
