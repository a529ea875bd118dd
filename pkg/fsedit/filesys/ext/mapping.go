package ext

// run maps count blocks of a file, from logical on, to the device.
type run struct {
	logical uint64
	phys    uint64 // first block on the device; meaningless for a hole
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

// mapper finds the blocks of a file, with one lookup at a time, so that memory
// does not grow with the file.
type mapper interface {
	// find returns a run that starts at or before logical and ends after it. A
	// hole may be told in parts.
	find(logical uint64) (run, error)
	// visit calls f for every allocated run in ascending order and, before
	// what lies below it, meta for every block of the map itself.
	visit(f func(run) error, meta func(nr uint64) error) error
}

// maxLogical is the number of blocks that any map can address.
const maxLogical = 1 << 32

// mapOf returns the map of an inode whose i_block holds one.
func (v *volume) mapOf(in *inode) mapper {
	if in.has(flExtents) {
		return &extentTree{v: v, in: in}
	}
	return &indirectMap{v: v, in: in}
}

// hasMap reports whether i_block holds a map, rather than content.
func (v *volume) hasMap(in *inode) bool {
	switch {
	case in.has(flInlineData):
		return false
	case in.mode().IsRegular(), in.mode().IsDir():
		return true
	case in.mode().IsSymlink():
		return !v.fastSymlink(in)
	}
	return false
}

// readFileBlock reads block logical of a directory or other metadata file
// through the cache. A hole is nil.
func (v *volume) readFileBlock(m mapper, logical uint64) (block []byte, nr uint64, err error) {
	r, err := m.find(logical)
	if err != nil || r.kind != runData {
		return nil, 0, err
	}
	nr = r.phys + (logical - r.logical)
	block, err = v.readBlock(nr)
	return block, nr, err
}

// bounded makes meta fail once a map has more blocks than the filesystem: it
// names some of them twice.
func (v *volume) bounded(in *inode, meta func(uint64) error) func(uint64) error {
	left := v.blockCount
	return func(nr uint64) error {
		if left == 0 {
			return in.at().Corrupt("its block map does not end")
		}
		left--
		return meta(nr)
	}
}
