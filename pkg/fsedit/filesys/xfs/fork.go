package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// run maps count blocks of a fork, from logical on, to the device.
type run struct {
	logical uint64
	phys    uint64 // fsblock; meaningless for a hole
	count   uint64
	kind    runKind
}

type runKind uint8

const (
	runData      runKind = iota
	runHole              // nothing is allocated
	runUnwritten         // allocated, and reads as zeros
)

func (r run) end() uint64 { return r.logical + r.count }

// maxLogical is the number of blocks that any fork can address.
const maxLogical = 1 << 54

// mapper finds the blocks of a fork, with one lookup at a time, so that memory
// does not grow with the file.
type mapper interface {
	// find returns a run that starts at or before logical and ends after it. A
	// hole may be told in parts.
	find(logical uint64) (run, error)
}

// fork is the data or the attribute fork of an inode: what lies in the inode,
// and how to read it.
type fork struct {
	in     *inode
	name   string // for errors
	format uint8
	raw    []byte
	count  uint64 // extents
}

func (v *volume) dataFork(in *inode) fork {
	f := fork{in: in, name: "data fork", format: in.Format, raw: in.raw[in.core:], count: uint64(in.NExtents)}
	if in.ForkOff != 0 {
		f.raw = f.raw[:int(in.ForkOff)*8]
	}
	if in.has2(di2NRExt64) {
		f.count = in.BigNExtents
	}
	return f
}

// attrFork is the second fork; false when there is none.
func (v *volume) attrFork(in *inode) (fork, bool) {
	if in.ForkOff == 0 {
		return fork{}, false
	}
	f := fork{in: in, name: "attribute fork", format: in.AFormat, count: uint64(in.ANExtents)}
	f.raw = in.raw[in.core+int(in.ForkOff)*8:]
	if in.has2(di2NRExt64) {
		f.count = uint64(in.NExtents)
	}
	return f, true
}

func (f *fork) at() ondisk.Place { return ondisk.At(layer, f.name, f.in.off).In("inode %d", f.in.num) }

// mapOf returns the map of a fork that has one.
func (v *volume) mapOf(f fork) (mapper, error) {
	switch f.format {
	case formatExtent:
		if f.count > uint64(len(f.raw)/bmbtRecSize) {
			return nil, f.at().Corrupt("%d extents in %d bytes", f.count, len(f.raw))
		}
		l := &extentList{raw: f.raw[:f.count*bmbtRecSize], hi: maxLogical}
		return l, l.verify(v, f.at())
	case formatBtree:
		return &bmapTree{v: v, fork: f}, nil
	}
	return nil, f.at().Corrupt("it has format %d, not a map", f.format)
}

// readRun reads count blocks of a fork from logical on, which is metadata and may
// be in several pieces. A hole is nil. off is where the first byte lies.
func (v *volume) readRun(m mapper, logical, count uint64) (p []byte, off int64, err error) {
	r, err := m.find(logical)
	if err != nil || r.kind != runData {
		return nil, 0, err
	}
	first := r.phys + logical - r.logical
	off = v.byteOff(first)
	if r.end() >= logical+count {
		p, err = v.readBlocks(first, count)
		return p, off, err
	}
	p = make([]byte, 0, int64(count)<<v.blockBits)
	for i := range count {
		r, err := m.find(logical + i)
		if err != nil {
			return nil, 0, err
		}
		if r.kind != runData {
			return nil, 0, ondisk.At(layer, "block", off).Corrupt("a part of it is a hole")
		}
		block, err := v.readBlocks(r.phys+logical+i-r.logical, 1)
		if err != nil {
			return nil, 0, err
		}
		p = append(p, block...)
	}
	return p, off, nil
}
