package fat

import (
	"io/fs"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

// folder is a directory that names are put into or taken from.
type folder struct {
	*directory
	node  filesys.Node
	place dirPlace
}

// folder reads all of a directory as staged.
func (e *editor) folder(n filesys.Node) (*folder, error) {
	p, err := e.v.nodeDir(n)
	if err != nil {
		return nil, err
	}
	d, err := e.v.loadDir(p, true)
	if err != nil {
		return nil, err
	}
	return &folder{directory: d, node: n, place: p}, nil
}

// putEntry stores a file's slot, of which the name is chosen here, and returns
// where it is. The directory grows where it has to.
func (e *editor) putEntry(f *folder, name string, s []byte) (int64, error) {
	units, err := checkName(name)
	if err != nil {
		return 0, err
	}
	taken := map[string]bool{}
	for en := range f.entries() {
		taken[foldName(en.name())] = true
		taken[foldName(shownShort(en.slot))] = true
	}
	short, exact, err := shortName(name, taken)
	if err != nil {
		return 0, err
	}
	var raw []byte
	if !exact {
		raw = longSlots(units, short)
	}
	raw = append(raw, s...)
	copy(raw[len(raw)-slotSize:], short[:])
	raw[len(raw)-slotSize+slCase] = 0
	at, err := e.makeRoom(f, len(raw)/slotSize)
	if err != nil {
		return 0, err
	}
	if err := e.putSlots(f, at, raw); err != nil {
		return 0, err
	}
	off := f.off(at + len(raw)/slotSize - 1)
	stage.Set(e.stage, e.written, off, name)
	stage.Set(e.stage, e.touched, f.place, struct{}{})
	return off, e.touch(f)
}

// makeRoom finds n slots that follow each other.
func (e *editor) makeRoom(f *folder, n int) (int, error) {
	for {
		free, end := 0, f.end()
		for i := range f.count() {
			if i >= end || f.slot(i)[0] == slotDeleted {
				free++
			} else {
				free = 0
			}
			if free == n {
				return i + 1 - n, nil
			}
		}
		if err := e.grow(f); err != nil {
			return 0, err
		}
	}
}

// grow gives a directory one more cluster, of zeros.
func (e *editor) grow(f *folder) error {
	at := e.v.dirAt(f.off(0))
	if len(f.clusters) == 0 {
		return at.NoSpace("the root directory has no more than %d slots", f.count())
	}
	if f.count() >= maxDirSlots {
		return at.NoSpace("a directory has no more than %d slots", maxDirSlots)
	}
	runs, err := e.newCluster(nil)
	if err != nil {
		return err
	}
	if err := e.setEntry(f.clusters[len(f.clusters)-1], runs[0].first); err != nil {
		return err
	}
	f.clusters = append(f.clusters, runs[0].first)
	f.raw = append(f.raw, make([]byte, e.v.clusterSize)...)
	return nil
}

// newCluster takes a cluster for slots; what follows them is zero.
func (e *editor) newCluster(slots []byte) ([]run, error) {
	runs, err := e.alloc.alloc(1)
	if err != nil {
		return nil, err
	}
	if err := e.link(runs); err != nil {
		return nil, err
	}
	raw := make([]byte, e.v.clusterSize)
	copy(raw, slots)
	return runs, e.stage.Patch(e.v.clusterOff(runs[0].first), raw)
}

// putSlots writes slots, and a new end where they cover the old one: what lies
// behind that was never written.
func (e *editor) putSlots(f *folder, at int, raw []byte) error {
	n := len(raw) / slotSize
	if last := at + n; last > f.end() && last < f.count() && f.slot(last)[0] != slotEnd {
		raw = append(raw, make([]byte, slotSize)...)
		n++
	}
	for i := range n {
		p := raw[i*slotSize:][:slotSize]
		copy(f.slot(at+i), p)
		if err := e.stage.Patch(f.off(at+i), p); err != nil {
			return err
		}
	}
	return nil
}

// dropEntry marks all slots of an entry as deleted.
func (e *editor) dropEntry(f *folder, en *entry) error {
	for i := en.first; i <= en.last; i++ {
		f.slot(i)[0] = slotDeleted
		if err := e.patchSlot(f.off(i), 0, slotDeleted); err != nil {
			return err
		}
	}
	stage.Delete(e.stage, e.written, en.off)
	return e.touch(f)
}

// touch stamps a directory whose names changed. The root has no stamp.
func (e *editor) touch(f *folder) error {
	if f.node == rootNode {
		return nil
	}
	_, off, err := e.v.nodeSlot(f.node)
	if err != nil {
		return err
	}
	return e.setMtime(off, e.now)
}

func (e *editor) setMtime(off int64, t time.Time) error {
	date, clock, _ := writeTime(t)
	return e.patchSlot(off, slMTime, byte(clock), byte(clock>>8), byte(date), byte(date>>8))
}

func (e *editor) setAtime(off int64, t time.Time) error {
	date, _, _ := writeTime(t)
	return e.patchSlot(off, slADate, byte(date), byte(date>>8))
}

// newSlot is the slot of a new object without a name.
func (e *editor) newSlot(attr uint8, start uint32, mtime time.Time) []byte {
	p := make([]byte, slotSize)
	p[slAttr] = attr
	created, clock, tenths := writeTime(e.now)
	p[slTenths] = tenths
	le.PutUint16(p[slCTime:], clock)
	le.PutUint16(p[slCDate:], created)
	le.PutUint16(p[slADate:], created)
	if mtime.IsZero() {
		mtime = e.now
	}
	date, clock, _ := writeTime(mtime)
	le.PutUint16(p[slMTime:], clock)
	le.PutUint16(p[slMDate:], date)
	e.v.putStart(p, start)
	return p
}

// putStart stores a first cluster in a slot.
func (g *geometry) putStart(p []byte, start uint32) {
	le.PutUint16(p[slClusterLo:], uint16(start))
	if g.bits == 32 {
		le.PutUint16(p[slClusterHi:], uint16(start>>16))
	}
}

// lookupFor finds a name in a directory that is about to change: nil when it is
// not there.
func (e *editor) lookupFor(dir filesys.Node, name string) (*folder, *entry, error) {
	f, err := e.folder(dir)
	if err != nil {
		return nil, nil, err
	}
	return f, f.find(name), nil
}

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// isEmpty reports whether a directory has no names; trouble is told as well.
func (e *editor) isEmpty(p dirPlace) error {
	d, err := e.v.readDir(p)
	if err != nil {
		return err
	}
	for range d.entries() {
		return filesys.ErrNotEmpty
	}
	return nil
}
