package xfs

// Where the attribute fork of an inode begins is told in units of 8 bytes. The
// kernel leaves each fork at least a root of a map: of three entries for data, of
// two for attributes; data of a device has exactly one unit.
const (
	leastData  = 56
	leastAttrs = 36
	someAttrs  = 100 // what attributes in blocks are given
)

// storeAttrs gives an inode attributes in the smallest form that holds them. The
// inode is the caller's to stage.
func (e *editor) storeAttrs(in *inode, list []attribute) error {
	f, has := e.v.attrFork(in)
	old := &holding{}
	if has {
		var err error
		if old, err = e.v.holding(f); err != nil {
			return err
		}
	}
	if len(list) == 0 && (e.v.attr2() || !has) {
		return e.dropAttrs(in, old)
	}
	short, ok := shortAttrs(list)
	off, inInode, err := e.planForks(in, len(short), ok)
	if err != nil {
		return err
	}
	if err := e.needAttrBit(); err != nil {
		return err
	}
	if off != int(in.ForkOff)*8 {
		if err := e.moveFork(in, off); err != nil {
			return err
		}
	}
	if inInode {
		if err := e.releaseRuns(in, true, old.runs); err != nil {
			return err
		}
		return e.setLocal(in, true, old, short)
	}
	return e.putAttrs(in, old, list)
}

// attr2 reports whether the forks of an inode share its room as they need it.
func (g *geometry) attr2() bool { return g.v5() || g.has(features2, f2Attr2) }

// dropAttrs makes an inode one without attributes.
func (e *editor) dropAttrs(in *inode, old *holding) error {
	if in.ForkOff == 0 {
		return nil
	}
	if err := e.releaseRuns(in, true, old.runs); err != nil {
		return err
	}
	if err := e.setMap(in, true, old, nil); err != nil {
		return err
	}
	if in.Format == formatDev || in.Format == formatLocal {
		p, _ := e.area(in, true)
		clear(p)
		in.put8(inForkOff, 0)
		return nil
	}
	return e.moveFork(in, 0)
}

// planForks decides where the attribute fork begins, and whether it holds the
// attributes themselves, which take n bytes in the inode, if they may be there.
func (e *editor) planForks(in *inode, n int, may bool) (off int, inInode bool, err error) {
	literal, now := e.v.inodeSize-in.core, int(in.ForkOff)*8
	if now > 0 && may && n <= literal-now {
		return now, true, nil
	}
	if !e.v.attr2() {
		if now == 0 {
			return 0, false, in.at().Unsupported("its first attribute, on a filesystem without attr2")
		}
		return now, false, nil
	}
	if in.Format == formatDev {
		return 8, may && n <= literal-8, nil
	}
	data := e.dataSize(in)
	most := (literal - leastAttrs) &^ 7
	if fit := min((literal-n)&^7, most); may && fit >= max(data, leastData) {
		return fit, true, nil
	}
	switch {
	case now > 0:
		return now, false, nil
	case data <= most:
		return max(data, leastData, min((literal-someAttrs)&^7, most)), false, nil
	}
	off = (literal - someAttrs) &^ 7
	inInode = may && n <= literal-off
	if in.Format != formatLocal {
		return off, inInode, nil // its extents become a tree
	}
	return off, inInode, e.evict(in)
}

// dataSize is what the data fork takes in the inode, as it is.
func (e *editor) dataSize(in *inode) int {
	switch f := e.v.dataFork(in); f.format {
	case formatLocal:
		return int(in.Size+7) &^ 7
	case formatExtent:
		return (int(f.count)*bmbtRecSize + 7) &^ 7
	}
	return leastData
}

// evict puts content that lies in the inode into blocks.
func (e *editor) evict(in *inode) error {
	if in.mode().IsSymlink() {
		return e.putTarget(in, string(e.v.dataFork(in).raw[:in.Size]))
	}
	if !in.mode().IsDir() {
		return in.at().Corrupt("its content lies in the inode")
	}
	if err := e.putInode(in); err != nil {
		return err
	}
	d, err := e.directory(in.num)
	if err != nil {
		return err
	}
	if err := e.buildDir(d, true); err != nil {
		return err
	}
	built, err := e.private(in.num)
	if err == nil {
		*in = *built
	}
	return err
}

// moveFork makes the attribute fork begin elsewhere. What it held is lost.
func (e *editor) moveFork(in *inode, off int) error {
	f := e.v.dataFork(in)
	if f.format == formatDev || f.format == formatLocal {
		keep := 4
		if f.format == formatLocal {
			keep = int(in.Size)
		}
		clear(in.raw[in.core+keep:])
		in.put8(inForkOff, uint8(off/8))
		return nil
	}
	h, err := e.v.holding(f)
	if err != nil {
		return err
	}
	clear(in.raw[in.core:])
	in.put8(inForkOff, uint8(off/8))
	return e.setMap(in, false, h, h.runs)
}

// putAttrs puts attributes into blocks. Those that the fork has are used again.
func (e *editor) putAttrs(in *inode, old *holding, list []attribute) error {
	b := e.v.buildAttrs(list)
	runs, err := e.refit(in, true, old.runs, 0, b.place())
	if err != nil {
		return err
	}
	for i, raw := range b.tree() {
		if err := e.putRun(in, runs, uint64(i), raw, daStamp); err != nil {
			return err
		}
	}
	for i := range b.list {
		if x := &b.list[i]; x.remote {
			if err := e.putValue(in, runs, x); err != nil {
				return err
			}
		}
	}
	return e.setMap(in, true, old, runs)
}

// needAttrBit sets the bit of version 4 that says that there are attributes, as the
// kernel does with the first.
func (e *editor) needAttrBit() error {
	if e.v.has(versionBits, fvAttr) {
		return nil
	}
	raw := make([]byte, e.v.sectorSize)
	if _, err := e.stage.ReadAt(raw, 0); err != nil {
		return err
	}
	be.PutUint16(raw[sbVersion:], be.Uint16(raw[sbVersion:])|fvAttr)
	sealSuper(raw)
	return e.stage.Patch(0, raw)
}

const sbVersion = 100
